"""Which stored values are of which type."""

from __future__ import annotations

import pytest

from deltamark.domain.values import PropertyType, has_type

VALUES = {
    PropertyType.STRING: ["", "text", "12"],
    PropertyType.FOREIGN_KEY: ["key"],
    PropertyType.BYTES: ["", "AAE=", "AAEC"],
    PropertyType.BINARY: ["AAECAw=="],
    PropertyType.BYTE: [0, 255],
    PropertyType.INT16: [-32768, 32767],
    PropertyType.INT32: [-(2**31), 2**31 - 1],
    PropertyType.INT64: [-(2**63), 2**63 - 1],
    PropertyType.DOUBLE: [1.0, -0.5],
    PropertyType.BOOL: [True, False],
    PropertyType.GUID: ["0f8fad5b-d9cb-469f-a165-70867728950e"],
    PropertyType.DATE_TIME: ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.123456Z"],
    PropertyType.DATE: ["2024-02-29"],
    PropertyType.DECIMAL: ["0", "1.5", "-0.25", "100", "9" * 38],
}

OTHERS = {
    PropertyType.STRING: [1, 1.0, True],
    PropertyType.FOREIGN_KEY: [1],
    PropertyType.BYTES: ["A", "äöü=", 1],
    PropertyType.BINARY: ["AAEC=", False],
    PropertyType.BYTE: [-1, 256, True, 1.0, "1"],
    PropertyType.INT16: [32768, "1"],
    PropertyType.INT32: [2**31, False],
    PropertyType.INT64: [2**63, 1.0],
    PropertyType.DOUBLE: [1, "1.0", True],
    PropertyType.BOOL: [1, "true"],
    PropertyType.GUID: ["0F8FAD5B-D9CB-469F-A165-70867728950E", "text"],
    PropertyType.DATE_TIME: ["2024-02-29", "2024-02-29T00:00:00", "text", "2023-02-29T00:00:00Z"],
    PropertyType.DATE: ["2024-02-29T00:00:00Z", "29.02.2024", "2026-13-45", "٢٠٢٦-11-11"],
    PropertyType.DECIMAL: ["1.50", "01", "-0", "1e5", 1.5, "1" * 39],
}


def test_every_type_is_tried() -> None:
    assert set(VALUES) == set(OTHERS) == set(PropertyType)


@pytest.mark.parametrize("kind", PropertyType, ids=lambda kind: kind.label)
def test_a_stored_value_has_its_type_and_no_other_form(kind: PropertyType) -> None:
    assert all(has_type(value, kind) for value in [None, *VALUES[kind]])
    assert not any(has_type(value, kind) for value in OTHERS[kind])
