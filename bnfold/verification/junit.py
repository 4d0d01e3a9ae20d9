"""A verdict for CI: JUnit XML, one case a gate, and GitHub's annotation lines."""

from __future__ import annotations

from xml.etree import ElementTree

from bnfold.show import show
from bnfold.verification.verdict import Gate, Verdict


def junit_xml(verdict: Verdict) -> str:
    """One `testsuite`; a gate that fails and decides is a failure, one not asked is skipped."""
    deciding = [gate for gate in verdict.gates if gate.decides]
    failed = [gate for gate in deciding if gate.ok is False]
    unproven = not verdict.ok and not failed
    suite = ElementTree.Element(
        "testsuite",
        name="bnfold verify",
        tests=str(len(deciding) + 1),
        failures=str(len(failed) + unproven),
        errors="0",
        skipped=str(sum(gate.ok is None for gate in deciding)),
        time=f"{verdict.seconds:.3f}",
    )
    name = f"{verdict.original} and {verdict.candidate}"
    for gate in deciding:
        _case(suite, name, gate)
    whole = ElementTree.SubElement(suite, "testcase", classname=show(name, 300), name="verdict")
    if unproven:
        ElementTree.SubElement(whole, "failure", message=show(verdict.sentence, 500))
    out = ElementTree.SubElement(whole, "system-out")
    out.text = "\n".join(show(line, 500) for line in (verdict.sentence, *verdict.notes))
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    ElementTree.fromstring(text)  # what writes it also writes what no parser takes
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, name: str, gate: Gate) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=show(name, 300), name=gate.name)
    if gate.ok is None:
        ElementTree.SubElement(case, "skipped", message=show(gate.sentence, 500))
    elif not gate.ok:
        ElementTree.SubElement(case, "failure", message=show(gate.sentence, 500))


def annotation_lines(verdict: Verdict) -> tuple[str, ...]:
    """Workflow commands that GitHub shows beside a change; print them where GITHUB_ACTIONS is."""
    if verdict.ok:
        return (f"::notice title=bnfold verify::{_escaped(verdict.sentence)}",)
    failed = [gate for gate in verdict.gates if gate.decides and gate.ok is False]
    sentences = [gate.sentence for gate in failed] or [verdict.sentence]
    return tuple(f"::error title=bnfold verify::{_escaped(text)}" for text in sentences)


def _escaped(text: str) -> str:
    return show(text, 500).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
