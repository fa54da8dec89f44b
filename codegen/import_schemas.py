"""Takes the facts of the protocol out of a kafka-clients jar: `python -m codegen.import_schemas JAR`.

Writes one JSON file per message into `schemas/` (names, types, versions, nullability, tags, defaults,
ignorable, entity types; no comments and no prose), `schemas/errors.json` and `schemas/VERSION`.
The error codes need a JDK, since they stand in compiled code only.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MESSAGE_KEYS = ("apiKey", "type", "name", "listeners", "validVersions", "flexibleVersions", "latestVersionUnstable")
FIELD_KEYS = (
    "name", "type", "versions", "nullableVersions", "tag", "taggedVersions", "flexibleVersions",
    "ignorable", "default", "mapKey", "entityType",
)


def without_comments(text: str) -> str:
    """Kafka's files are JSON plus lines and line ends that start with `//`."""
    token = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*')
    return token.sub(lambda match: match.group() if match.group().startswith('"') else "", text)


def field_text(field: dict[str, Any], indent: str) -> str:
    facts = {key: field[key] for key in FIELD_KEYS if key in field}
    if "tag" in facts:
        facts["tag"] = int(facts["tag"])  # some are written as strings
    text = indent + json.dumps(facts)
    if "fields" not in field:
        return text
    return text[:-1] + ', "fields": [\n' + fields_text(field["fields"], indent + "  ") + "\n" + indent + "]}"


def fields_text(fields: list[dict[str, Any]], indent: str) -> str:
    return ",\n".join(field_text(field, indent) for field in fields)


def message_text(message: dict[str, Any]) -> str:
    lines = [f"  {json.dumps(key)}: {json.dumps(message[key])}" for key in MESSAGE_KEYS if key in message]
    structs = [
        f'    {{"name": {json.dumps(struct["name"])}, "versions": {json.dumps(struct["versions"])}, "fields": [\n'
        + fields_text(struct["fields"], "      ")
        + "\n    ]}"
        for struct in message.get("commonStructs", [])
    ]
    if structs:
        lines.append('  "commonStructs": [\n' + ",\n".join(structs) + "\n  ]")
    if message.get("fields"):
        lines.append('  "fields": [\n' + fields_text(message["fields"], "    ") + "\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def jar_version(jar: zipfile.ZipFile) -> str:
    properties = jar.read("kafka/kafka-version.properties").decode()
    return dict(line.split("=", 1) for line in properties.split() if "=" in line)["version"]


def error_facts(jar: Path) -> str:
    """`errors.json`, from Kafka's own enumeration. Kafka logs through slf4j: a Maven repository has it near by."""
    logging = sorted(jar.parents[4].glob("slf4j/slf4j-api/*/slf4j-api-*.jar")) if len(jar.parents) > 4 else []
    path = ":".join(map(str, [jar, *logging[:1]]))
    done = subprocess.run(
        ["java", "-cp", path, str(ROOT / "codegen" / "DumpErrors.java")], check=True, capture_output=True, text=True
    )
    lines = []
    for line in done.stdout.splitlines():
        code, name, retriable, invalid = line.split()
        lines.append(f'  {{"code": {code}, "name": "{name}", "retriable": {retriable}, "invalidMetadata": {invalid}}}')
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Import the message schemas of a Kafka release.")
    parser.add_argument("jar", type=Path, help="kafka-clients-X.Y.Z.jar")
    parser.add_argument("--to", type=Path, default=ROOT / "schemas", help="the folder to write (default: schemas)")
    arguments = parser.parse_args()
    files = {"errors.json": error_facts(arguments.jar.resolve())}
    with zipfile.ZipFile(arguments.jar) as jar:
        files["VERSION"] = jar_version(jar) + "\n"
        for name in jar.namelist():
            if name.startswith("common/message/") and name.endswith(".json"):
                message = json.loads(without_comments(jar.read(name).decode()))
                files[message["name"] + ".json"] = message_text(message)
    arguments.to.mkdir(exist_ok=True)
    for old in arguments.to.glob("*.json"):
        if old.name not in files:
            old.unlink()
    for file_name, text in files.items():
        (arguments.to / file_name).write_text(text)
    print(f"Kafka {files['VERSION'].strip()}: {len(files) - 2} messages")


if __name__ == "__main__":
    main()
