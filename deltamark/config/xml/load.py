"""Loading a configuration: all files, all faults."""

from __future__ import annotations

from pathlib import Path

from deltamark.config.files import content, found
from deltamark.config.xml.reader import read
from deltamark.domain.configuration.configuration import Configuration, merged
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.validation.validate import faults as semantic_faults
from deltamark.domain.validation.validate import in_file_order


def load(path: Path | str) -> Configuration:
    """The configuration in one XML file, or in all `*.xml` files below a folder, in the order of their names.

    Locations name files as `path` does. Reads nothing but these files. A configuration that was loaded has
    no faults: what its parts name exists.

    :raises ConfigurationError: with every fault of every file, in file order. What parts say about each
        other is looked at once each file by itself is sound.
    """
    files, problems = found(Path(path))
    faults: list[Fault] = list(problems)
    parts: list[Configuration] = []
    for file in files:
        data = content(file)
        if isinstance(data, Fault):
            faults.append(data)
            continue
        part, wrong = read(data, file.name)
        faults.extend(wrong)
        if part is not None:
            parts.append(part)
    if faults:
        raise ConfigurationError(in_file_order(faults))
    configuration = merged(parts)
    wrong = semantic_faults(configuration)
    if wrong:
        raise ConfigurationError(in_file_order(wrong))
    return configuration
