#!/usr/bin/env python3
"""The man page, made of the program's own help.

    twolayernet --experimental-dump-help | manual.py VERSION > twolayernet.1
"""

import json
import sys
from typing import Any


def roff(text: str) -> str:
    """`text` with roff's special characters and leading control characters made harmless."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti")
    lines = ("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))
    return "\n".join(lines)


def prose(text: str) -> list[str]:
    """Paragraphs; what is indented stays as it is, and a heading in capitals begins it."""
    lines = []
    for paragraph in text.strip("\n").split("\n\n"):
        lines.append(".PP")
        literal = any(line.startswith("  ") for line in paragraph.split("\n"))
        lines += [".nf", roff(paragraph), ".fi"] if literal else [roff(paragraph)]
    return lines


def names(argument: dict[str, Any]) -> str:
    """How an argument is written on the command line."""
    value = f"<{argument['valueName']}>"
    if argument["kind"] == "positional":
        return value
    dashed = [("--" if n["kind"] == "long" else "-") + n["name"] for n in argument["names"]]
    return ", ".join(dashed) + (f" {value}" if argument["kind"] == "option" else "")


def described(argument: dict[str, Any]) -> list[str]:
    text = argument.get("abstract", "")
    if "discussion" in argument:
        text += " " + argument["discussion"]
    facts = []
    if any(value not in text for value in argument.get("allValues", [])):
        facts.append("values: " + ", ".join(argument["allValues"]))
    if "defaultValue" in argument:
        facts.append(f"default: {argument['defaultValue']}")
    if facts:
        text += f" ({'; '.join(facts)})"
    return [".TP", f".B {roff(names(argument))}", roff(text.strip())]


def command(node: dict[str, Any]) -> list[str]:
    lines = [f".SS twolayernet {node['commandName']}", roff(node.get("abstract", ""))]
    lines += prose(node["discussion"]) if "discussion" in node else []
    for argument in node.get("arguments", []):
        if argument["shouldDisplay"] and argument["valueName"] not in ("help", "version"):
            lines += described(argument)
    return lines


def page(root: dict[str, Any], version: str) -> str:
    lines = [
        f'.TH TWOLAYERNET 1 "" "twolayernet {version}" "User Commands"',
        ".SH NAME",
        f"twolayernet \\- {roff(root['abstract'].rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B twolayernet",
        "<command> [options]",
        ".SH DESCRIPTION",
        *prose(root.get("discussion", "")),
        ".SH COMMANDS",
    ]
    for node in root["subcommands"]:
        if node["shouldDisplay"] and node["commandName"] != "help":
            lines += command(node)
    lines += [
        ".SH EXIT STATUS",
        "0 on success, 64 for wrong usage, 130 after Ctrl\\-C, 1 otherwise.",
        ".SH ENVIRONMENT",
        ".TP",
        ".B NO_COLOR",
        "If set and not empty, nothing is coloured.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(json.load(sys.stdin)["command"], sys.argv[1]))
