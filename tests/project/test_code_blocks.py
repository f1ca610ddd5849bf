"""Every code block of README, docs/ and deploy/ is run by a test, or has a reason here why none runs it.

A new block fails these tests until it is listed.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import shlex
import subprocess
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest
from support.pages import Block, find_blocks
from support.paths import ROOT

from eventpub.cli.command import build_whole_parser
from eventpub.errors import ConfigError

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
PARSER = build_whole_parser()
BLOCKS = [block for page in PAGES for block in find_blocks(page)]


class Proof(NamedTuple):
    """Where blocks of a page are run.

    Attributes:
        page: of the blocks.
        language: of the blocks.
        begins: what they begin with; empty for all of that language.
        file: of the test, below tests/.
        test: its name.
        reason: why no test runs them as they stand; the test looks at what they name.
    """

    page: str
    language: str
    begins: str
    file: str
    test: str
    reason: str = ""


TARGETS = "test_make_targets_of_the_pages_exist_and_help_lists_them"
BARE_MACHINE = (
    "test_the_pages_lead_from_a_bare_machine_to_events_in_the_store_with_systemd_and_with_supervisord"
)
HERE, PARSED = "project/test_code_blocks.py", "test_the_command_line_takes_each_command"
COMMANDS = "commands that each have tests of their own; here the command line takes them"
PROOFS = [
    Proof("README.md", "text", "", HERE, "test_text_is_no_code", "a drawing, and a list of folders"),
    Proof("README.md", "sh", "make demo", "project/test_readme.py", TARGETS, "what they run are tests"),
    Proof("README.md", "python", "", "project/test_readme.py",
          "test_python_of_the_readme_runs_on_what_is_public"),
    Proof("README.md", "sh", "python3 -m venv venv", "deployed/test_operating.py", BARE_MACHINE,
          "it takes a minute; docs/operating.md has the same, which is followed"),
    *(
        Proof("README.md", "sh", begins, "project/test_readme.py",
              "test_the_quick_start_works_as_it_is_written")
        for begins in ("export EVENTPUB_KEY", "eventpub collector collector.ini &", "python - <<", "kill %2 %1")
    ),
    Proof("README.md", "sh", "eventpub status ", HERE, PARSED, COMMANDS),
    Proof("CONTRIBUTING.md", "sh", "make demo", "project/test_readme.py", TARGETS, "what they run are tests"),
    Proof(
        "docs/coming-from-baseplate.md", "python", "", "project/test_coming_from.py",
        "test_the_handler_of_the_baseplate_page_says_what_went_wrong",
    ),
    Proof(
        "docs/coming-from-baseplate.md", "ini", "", "project/test_coming_from.py",
        "test_the_file_of_the_baseplate_page_is_taken_as_it_is",
    ),
    Proof("docs/coming-from-baseplate.md", "sh", "eventpub sidecar", HERE, PARSED, COMMANDS),
    Proof(
        "docs/coming-from-e3-core.md", "python", "", "eventpub/handlers/test_as_documented.py",
        "test_the_programs_of_the_page_run",
    ),
    Proof(
        "docs/coming-from-event-tracking.md", "python", "", "project/test_tracking_docs.py",
        "test_the_examples_of_the_page_do_what_it_says",
    ),
    Proof(
        "docs/coming-from-evproc.md", "python", "", "project/test_coming_from.py",
        "test_programs_of_the_evproc_page_run_and_print_what_they_say",
    ),
    Proof("docs/configuration.md", "sh", "eventpub doctor", HERE, PARSED, COMMANDS),
    Proof(
        "docs/events.md", "python", "", "project/test_events_docs.py",
        "test_the_examples_of_the_page_run_one_after_the_other",
    ),
    Proof(
        "docs/events.md", "ini", "", "project/test_events_docs.py",
        "test_the_settings_of_the_page_are_taken_as_they_stand",
    ),
    Proof(
        "docs/integrations.md", "json", "", "project/test_integration_docs.py",
        "test_the_event_that_the_page_shows_is_what_a_request_makes",
    ),
    Proof(
        "docs/integrations.md", "python", "", "project/test_integration_docs.py",
        "test_what_is_no_example_runs_where_the_page_says_it_is",
    ),
    Proof("docs/laptop.md", "sh", "", "project/test_laptop_page.py",
          "test_the_variable_of_the_page_shows_events"),
    Proof("docs/laptop.md", "python", "", "project/test_laptop_page.py",
          "test_the_example_of_the_page_runs"),
    *(
        Proof("docs/operating.md", "sh", begins, "deployed/test_operating.py", BARE_MACHINE)
        for begins in ("apt-get install", "install -d", "cat > /etc/eventpub/v2.ini", "runuser -u eventpub")
    ),
    Proof(
        "docs/operating.md", "sh", "chown eventpub:shop", "eventpub/queue/test_message_queue.py",
        "test_the_group_of_a_0620_queue_may_send_and_nothing_else", "it is for root, and for groups of yours",
    ),
    *(
        Proof("docs/operating.md", "sh", begins, "project/test_operating.py",
              "test_the_command_line_takes_what_the_page_says", COMMANDS)
        for begins in ("eventpub ", "pip install 'eventpub-sidecar[top]'\neventpub top")
    ),
    Proof("docs/page.md", "sh", "eventpub dev", "eventpub/dev/test_dev.py",
          "test_the_examples_it_prints_put_events_that_the_page_shows"),
    Proof("docs/page.md", "sh", "curl ", "collector/page/test_serving.py",
          "test_the_requests_of_docs_page_md_are_answered"),
    Proof("docs/pipeline.md", "python", "", "project/test_readme.py",
          "test_the_pipeline_of_the_page_makes_what_it_says"),
    Proof("docs/requests.md", "python", "", "project/test_requests_docs.py",
          "test_the_examples_of_the_page_run_one_after_the_other"),
    *(
        Proof("docs/schemas.md", language, "", "project/test_schemas_page.py",
              "test_the_page_leads_from_a_thrift_file_to_a_stored_row")
        for language in ("thrift", "sh")
    ),
    Proof("docs/schemas.md", "json", "", "project/test_schemas_page.py",
          "test_an_unknown_field_is_stored_as_the_page_shows"),
    Proof("docs/stores.md", "python", "", "engines/test_page.py",
          "test_the_consumer_of_the_page_gets_each_event_once"),
    Proof("docs/stores.md", "sh", "eventpub store", HERE, PARSED, COMMANDS),
    Proof("docs/stores.md", "sh", "EVENTPUB_KAFKA_BROKERS=", "project/test_readme.py", TARGETS,
          "for a cluster of yours; what they run are tests"),
    Proof("docs/testing.md", "python", "", "project/test_coming_from.py",
          "test_the_tests_of_the_testing_page_pass"),
    Proof("docs/testing.md", "ini", "", "eventpub/testing/test_pytest_plugin.py",
          "test_one_line_captures_the_events_of_all_tests"),
    Proof("deploy/docker/README.md", "sh", "", "deployed/test_docker.py",
          "test_the_readme_leads_from_a_checkout_to_events_in_the_store"),
    Proof("deploy/grafana/README.md", "sh", "", "deployed/test_monitoring.py", "test_the_readme_is_followed"),
    Proof("deploy/kubernetes/README.md", "sh", "", "deployed/test_kubernetes.py",
          "test_the_readme_leads_from_manifests_to_events_in_jetstream"),
    Proof("deploy/prometheus/README.md", "sh", "", "deployed/test_monitoring.py",
          "test_the_readme_is_followed"),
    Proof("deploy/supervisor/README.md", "sh", "", "deployed/test_operating.py", BARE_MACHINE),
]  # fmt: skip


def has(proof: Proof, block: Block) -> bool:
    return (proof.page, proof.language) == block[:2] and block.text.startswith(proof.begins)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_each_block_is_run_by_a_test_or_has_a_reason_why_none_runs_it(block: Block) -> None:
    assert block.language, f"{block}: say what it is, `text` if it is not code"
    assert [proof.test for proof in PROOFS if has(proof, block)], (
        f"{block}: add the test that runs it to PROOFS"
    )


@pytest.mark.parametrize(
    "proof", PROOFS, ids=lambda proof: f"{proof.page}-{proof.language}-{proof.begins[:20]}"
)
def test_each_test_that_is_listed_exists_and_reads_the_page(proof: Proof) -> None:
    assert [block for block in BLOCKS if has(proof, block)], "no such block is left"
    text = (ROOT / "tests" / proof.file).read_text(encoding="utf-8")
    assert f"def {proof.test}(" in text
    if not proof.reason:
        page = Path(proof.page)
        assert page.name in text or page.stem in text


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language != "text"], ids=str)
def test_each_block_is_written_as_its_language_wants_it(block: Block) -> None:
    match block.language:
        case "python":
            ast.parse(block.text)
        case "json":
            json.loads(block.text)
        case "sh":
            done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        case other:
            assert other in {"ini", "thrift"}, f"{block}: nothing here can tell whether it is right"


COMMAND = re.compile(r"^(?:.* exec \w+ |.* -- (?:\S*/)?)?eventpub ([a-z].*)$", re.MULTILINE)


def find_commands() -> list[str]:
    """Return what pages tell to type after `eventpub`, wherever it is run."""
    scripts = [block.text for block in BLOCKS if block.language == "sh"]
    return sorted({command for script in scripts for command in COMMAND.findall(script)})


@pytest.mark.parametrize("command", find_commands())
def test_the_command_line_takes_each_command(command: str) -> None:
    words = shlex.split(command.replace("UUID", str(uuid.uuid4())), comments=True)
    if words[-1] == "&":
        words.pop()
    with contextlib.suppress(ConfigError):  # the file that is named is not here
        PARSER.parse_args(words)


def test_the_commands_are_found() -> None:
    commands = find_commands()
    assert len(commands) > 30
    assert {command.split()[0] for command in commands} >= {"collector", "dev", "doctor", "put", "store", "top"}


def test_text_is_no_code() -> None:
    for block in BLOCKS:
        if block.language == "text":
            assert not re.search(r"^\s*(\$|eventpub |python|import |\[)", block.text, re.MULTILINE), str(block)
