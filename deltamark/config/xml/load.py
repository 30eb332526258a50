"""Loads a configuration from its files, and reports all its faults."""

from __future__ import annotations

from pathlib import Path

from deltamark.config.files import configuration_files, content
from deltamark.config.xml.reader import read
from deltamark.domain.configuration.configuration import Configuration, merged
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.validation.validate import faults as validation_faults
from deltamark.domain.validation.validate import in_file_order


def load(path: Path | str) -> Configuration:
    """Loads the configuration in one XML file, or in all `*.xml` files below a folder.

    The files are read in the order of their paths, and no others. Locations name files as `path` does. A loaded
    configuration has no faults.

    :raises ConfigurationError: with every fault of every file, in file order. References between files are
        checked once every file is valid by itself.
    """
    files, file_faults = configuration_files(Path(path))
    faults: list[Fault] = list(file_faults)
    parts: list[Configuration] = []
    for file in files:
        data = content(file)
        if isinstance(data, Fault):
            faults.append(data)
            continue
        part, part_faults = read(data, file.name)
        faults.extend(part_faults)
        if part is not None:
            parts.append(part)
    if faults:
        raise ConfigurationError(in_file_order(faults))
    configuration = merged(parts)
    invalid = validation_faults(configuration)
    if invalid:
        raise ConfigurationError(in_file_order(invalid))
    return configuration
