"""docs/api-conformance.md names every operation and error of App Mesh's, and tests that exist."""

import re

import boto3
import pytest

from harness.locate import ROOT

PAGE = (ROOT / "docs" / "api-conformance.md").read_text()
MODEL = boto3.client("appmesh", region_name="us-east-1", aws_access_key_id="none",
                     aws_secret_access_key="none").meta.service_model
OPERATIONS, TESTS = PAGE.split("## Tests")
NUMBERED = dict(re.findall(r"^(\d+)\. (`\S+` `\w+`)$", TESTS, re.MULTILINE))
NAMED = sorted(set(re.findall(r"`(\S+\.(?:rs|py))` `(\w+)`", TESTS)))


def rows():
    lines = [line for line in OPERATIONS.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return cells[0][3:], {row[0]: row[1:] for row in cells[2:]}


ERRORS, ROWS = rows()


def test_every_operation_has_a_row():
    assert sorted(ROWS) == sorted(MODEL.operation_names)
    declared = {shape.name for name in MODEL.operation_names for shape in MODEL.operation_model(name).error_shapes}
    assert sorted(f"{error}Exception" for error in ERRORS) == sorted(declared)


@pytest.mark.parametrize("name", sorted(MODEL.operation_names))
def test_a_row_says_what_the_model_says(name):
    operation = MODEL.operation_model(name)
    path, answer, *errors = ROWS[name]
    uri = operation.http["requestUri"].removeprefix("/v20190125")
    assert path == f"`{operation.http['method']} {uri}`"
    check_cell(answer)
    declared = {shape.name for shape in operation.error_shapes}
    for error, cell in zip(ERRORS, errors, strict=True):
        if f"{error}Exception" in declared:
            if cell != "never":
                check_cell(cell)
        else:
            assert cell == "-", error


def check_cell(cell):
    numbers = cell.split()
    assert numbers and all(number in NUMBERED for number in numbers), cell


def test_every_numbered_test_is_used():
    used = {number for row in ROWS.values() for cell in row[1:] for number in cell.split() if number.isdigit()}
    assert used == set(NUMBERED)
    assert len(NAMED) > len(NUMBERED), "those of the second table as well"


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_tests_exist(file, test):
    text = (ROOT / file).read_text()
    definition = rf"^def {test}\(" if file.endswith(".py") else rf"#\[(?:tokio::)?test[^\n]*\]\s*(?:async )?fn {test}\("
    assert re.search(definition, text, re.MULTILINE), f"{file} has no test {test}"
