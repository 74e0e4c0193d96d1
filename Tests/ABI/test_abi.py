"""The binary interface is the recorded one; programs compiled against an older or a newer header work."""

import pathlib
import platform
import re
import shutil
import subprocess

import abi
import pytest


@pytest.fixture(scope="module")
def current(library: pathlib.Path) -> list[str]:
    return abi.interface(library)


def test_nothing_breaks(current: list[str]) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the record is that of 64-bit machines with eight-byte alignment")
    assert abi.breaks(abi.recorded(), current) == []


def test_the_record_is_complete(current: list[str]) -> None:
    """What is new is recorded on purpose, with `make abi`, and told in the changelog."""
    assert current == abi.recorded()


def test_breaking_changes_are_noticed(current: list[str]) -> None:
    for old in ["symbol tln_version@@TLN_0", "constant TLN_OK 0", "soname libtwolayernet.so.0"]:
        assert abi.breaks(current, [line for line in current if line != old]) == [old]
    moved = [line.replace("tln_network_options.seed at 32", "tln_network_options.seed at 40") for line in current]
    assert len(abi.breaks(current, moved)) == 1
    changed = [re.sub(r"(tln_trainer_fit\(.*)int64_t epochs", r"\1int32_t epochs", line) for line in current]
    assert len(abi.breaks(current, changed)) == 1
    smaller = [re.sub(r"(struct tln_evaluation size) \d+", r"\1 32", line) for line in current]
    assert len(abi.breaks(current, smaller)) == 1
    larger = [re.sub(r"(struct tln_evaluation size) \d+", r"\1 48", line) for line in current]
    assert abi.breaks(current, larger) == []


def test_functions_are_exported_as_declared(current: list[str]) -> None:
    exported = {line.split()[1].split("@")[0] for line in current if line.startswith("symbol ")}
    declared = {re.search(r"(tln_\w+)\(", line)[1] for line in current if line.startswith("function ")}
    assert exported == declared


OLDER_AND_NEWER = r"""
#include <stdio.h>
#include <string.h>
#include <twolayernet.h>

/* A header of the future has more fields; the library does not know them. */
typedef struct { tln_network_options known; int64_t future[3]; } newer_network_options;
typedef struct { tln_trainer_options known; double future; } newer_trainer_options;
typedef struct { tln_evaluation known; double future[4]; } newer_evaluation;
/* A header of the past had fewer. */
typedef struct { size_t struct_size; int64_t input_size, hidden_size; } older_network_options;
typedef struct { size_t struct_size; double learning_rate; } older_trainer_options;
typedef struct { size_t struct_size; int64_t rows, correct; } older_evaluation;

#define EXPECT(condition) do { if (!(condition)) { \
  fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, tln_last_error()); return 1; } } while (0)

int main(void) {
  tln_network *network;
  tln_trainer *trainer;
  tln_dataset *dataset;
  int64_t input, hidden, output;

  newer_network_options newer;
  memset(&newer, 0, sizeof newer);
  tln_network_options_init(&newer.known);
  newer.known.struct_size = sizeof newer;
  newer.known.input_size = 5;
  EXPECT(tln_network_create(&newer, &network) == TLN_OK);
  tln_network_free(network);
  for (int field = 0; field < 3; field++) {
    newer.future[field] = 1;
    EXPECT(tln_network_create(&newer, &network) == TLN_UNSUPPORTED && network == NULL);
    newer.future[field] = 0;
  }

  struct { older_network_options options; unsigned char guard[64]; } older;
  memset(&older, 0xff, sizeof older);
  older.options = (older_network_options){sizeof(older_network_options), 6, 4};
  EXPECT(tln_network_create((const void *)&older.options, &network) == TLN_OK);
  EXPECT(tln_network_sizes(network, &input, &hidden, &output) == TLN_OK);
  EXPECT(input == 6 && hidden == 4 && output == 10);

  newer_trainer_options trainer_options;
  memset(&trainer_options, 0, sizeof trainer_options);
  tln_trainer_options_init(&trainer_options.known);
  trainer_options.known.struct_size = sizeof trainer_options;
  EXPECT(tln_trainer_create(network, &trainer_options.known, &trainer) == TLN_OK);
  tln_trainer_free(trainer);
  trainer_options.future = -0.0;
  EXPECT(tln_trainer_create(network, &trainer_options.known, &trainer) == TLN_UNSUPPORTED);
  older_trainer_options older_trainer = {sizeof older_trainer, 0.5};
  EXPECT(tln_trainer_create(network, (const void *)&older_trainer, &trainer) == TLN_OK);
  tln_trainer_free(trainer);

  const unsigned char features[12] = {1, 2, 3};
  const int64_t labels[2] = {0, 9};
  tln_dataset_options set;
  tln_dataset_options_init(&set);
  set.features = features;
  set.rows = 2;
  set.columns = 6;
  set.labels = labels;
  EXPECT(tln_dataset_create(&set, &dataset) == TLN_OK);
  newer_evaluation result;
  memset(&result, 0x55, sizeof result);
  result.known.struct_size = sizeof result;
  EXPECT(tln_network_evaluate(network, dataset, &result.known) == TLN_OK && result.known.rows == 2);
  for (size_t byte = 0; byte < sizeof result.future; byte++)
    EXPECT(((unsigned char *)result.future)[byte] == 0x55);
  EXPECT(result.known.struct_size == sizeof result);
  struct { older_evaluation result; unsigned char guard[64]; } evaluation;
  memset(&evaluation, 0x55, sizeof evaluation);
  evaluation.result.struct_size = sizeof evaluation.result;
  EXPECT(tln_network_evaluate(network, dataset, (void *)&evaluation.result) == TLN_OK);
  EXPECT(evaluation.result.rows == 2);
  for (size_t byte = 0; byte < sizeof evaluation.guard; byte++) EXPECT(evaluation.guard[byte] == 0x55);
  tln_dataset_free(dataset);
  tln_network_free(network);
  return 0;
}
"""


def test_options_of_older_and_newer_headers(root: pathlib.Path, library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source, program = tmp_path / "versions.c", tmp_path / "versions"
    source.write_text(OLDER_AND_NEWER.replace("&newer, &network", "&newer.known, &network"))
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I", root / "include", "-L", library.parent]
    subprocess.run(
        ["cc", *flags, source, "-o", program, "-ltwolayernet", f"-Wl,-rpath,{library.parent}"], check=True
    )
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_abidiff_finds_no_difference(tmp_path: pathlib.Path) -> None:
    """A second opinion on the types of the header."""
    if not shutil.which("abidiff"):
        pytest.skip("abidiff (abigail-tools) is not installed")
    done = subprocess.run(["abidiff", abi.CORPUS, abi.stub(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
