"""The modules of `kafka/protocol`: slotted classes, one per struct for all its versions."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.routes import route
from codegen.schema import Field, Message, Struct, snake
from codegen.versions import HIGHEST, Versions

PYTHON_TYPES = {"bool": "bool", "float64": "float", "uuid": "bytes", "string": "str", "bytes": "Buffer",
                "records": "Buffer", "int8": "int", "int16": "int", "uint16": "int", "int32": "int", "int64": "int"}
# Written as an int16 before the message itself; Java's callers do it, the schemas do not say it.
VERSION_PREFIXED = {"ConsumerProtocolSubscription", "ConsumerProtocolAssignment", "ControlRecordTypeSchema",
                    "EndTxnMarker", "DefaultPrincipalData"}
MODULES = {"RequestHeader": "header", "ResponseHeader": "header", "ConsumerProtocolSubscription": "consumer_protocol",
           "ConsumerProtocolAssignment": "consumer_protocol"}
CONTROL_RECORDS = "control_records"


def module_name(message: Message) -> str:
    if message.api_key is not None:
        return snake(message.name.removesuffix("Request").removesuffix("Response"))
    return MODULES.get(message.name, CONTROL_RECORDS)


def open_ended(versions: Versions, valid: Versions) -> Versions:
    """The same versions, written `3+` where they go on to the last one there is."""
    return Versions(versions.lowest, HIGHEST) if versions and versions.highest == valid.highest else versions


def program_line(field: Field, valid: Versions) -> str:
    line = f"{field.name} {'[]' * field.array}{field.type} {open_ended(field.versions, valid)}"
    if field.nullable:
        line += f" null={open_ended(field.nullable, valid)}"
    if field.tag is not None:
        line += f" tag={field.tag}"
    if not field.compact:
        line += " plain"
    if field.ignorable:
        line += " ignorable"
    if field.default is None:
        line += " default=null"
    elif field.default and field.type != "uuid":
        line += f" default={field.default}"
    return line


def annotation(field: Field, message: str) -> str:
    base = f"{message}.{field.type}" if field.struct else PYTHON_TYPES[field.type]
    if field.array:
        base = f"Sequence[{base}]"
    return f"{base} | None" if field.nullable or field.default is None else base


def parameter(field: Field, message: str) -> str:
    """A keyword argument. A struct's default is made anew for each object, so None stands for it."""
    kind = annotation(field, message)
    if field.struct and not field.array:
        return f"{field.python_name}: {kind.removesuffix(' | None')} | None = None"
    default = "bytes(16)" if field.type == "uuid" and not field.array else repr(field.default)
    default = default.replace("'", '"')
    return f"{field.python_name}: {kind} = {default}"


def assignment(field: Field, message: str) -> str:
    name = field.python_name
    if field.struct and not field.array and field.default is not None:
        return f"self.{name} = {name} or {message}.{field.type}()"
    return f"self.{name} = {name}"


def error_properties(struct: Struct) -> Iterable[tuple[str, str, str | None]]:
    """(property, field of the code, field of the message) for each error code of the struct; the
    plain or only one is `error`, another one keeps its prefix."""
    names = {f.python_name for f in struct.fields}
    codes = [f.python_name for f in struct.fields if f.type == "int16" and f.python_name.endswith("error_code")]
    main = "error_code" if "error_code" in codes else codes[0] if codes else None
    for code in codes:
        name = "error" if code == main else code.removesuffix("_code")
        text = code.removesuffix("_code") + "_message"
        yield name, code, text if text in names else None


def struct_class(struct: Struct, message: Message, bases: str, head: list[str], nested: list[str]) -> list[str]:
    """The lines of one class, not indented."""
    lines = [f"class {struct.name}({bases}):"]
    body = list(head)
    slots = ", ".join(f'"{f.python_name}"' for f in struct.fields) + ("," if len(struct.fields) == 1 else "")
    if len(slots) > 90:
        body += ["__slots__ = (", *(f'    "{f.python_name}",' for f in struct.fields), ")"]
    else:
        body.append(f"__slots__ = ({slots})" if slots else "__slots__ = ()")
    body += [f"{f.python_name}: {annotation(f, message.name)}" for f in struct.fields]
    body.append('_PROGRAM = """')
    body += [program_line(f, message.versions) for f in struct.fields]
    body += ['"""', ""]
    if nested:
        body += [*nested, ""]
    body.append("def __init__(" + ("" if struct.fields else "self) -> None:"))
    if struct.fields:
        body += ["    self,", "    *,"]
        body += [f"    {parameter(f, message.name)}," for f in struct.fields]
        body.append(") -> None:")
    body += [f"    {assignment(f, message.name)}" for f in struct.fields]
    body.append("    self.unknown_tags = None")
    properties = list(error_properties(struct)) if message.kind == "response" else []
    for name, code, text in properties:
        arguments = f"self.{code}" + (f", self.{text}" if text else "")
        body += ["", "@property", f"def {name}(self) -> BrokerResponseError | None:"]
        body.append(f"    return for_code({arguments})")
    if properties:
        body += ["", "def result(self) -> Result[Self, BrokerResponseError]:", "    return result_of(self)"]
    return lines + ["    " + line if line else "" for line in body]


def message_class(message: Message) -> list[str]:
    head = []
    flexible = message.flexible & message.versions
    versions = f"versions {message.versions}" if message.versions.highest else "version 0"
    tail = f"flexible from {flexible.lowest}." if flexible else "never flexible."
    api = f"API {message.api_key}, " if message.api_key is not None else ""
    head.append(f'"""{message.name}: {api}{versions}, {tail}"""')
    head.append("")
    if message.api_key is not None:
        head.append(f"API_KEY: ClassVar[int] = {message.api_key}")
    head.append(f"VERSIONS: ClassVar[tuple[int, int]] = ({message.versions.lowest}, {message.versions.highest})")
    head.append(f"FLEXIBLE: ClassVar[int | None] = {flexible.lowest if flexible else None}")
    base = "Message"
    if message.kind == "request":
        base = "Request"
        api_name = message.name.removesuffix("Request")
        head.append(f'ROUTE: ClassVar[str] = "{route(api_name)}"')
        head.append(f"RESPONSE: ClassVar[type[{api_name}Response]]")
    elif message.kind == "response":
        base = "Response"
        request = message.name.removesuffix("Response") + "Request"
        head.append(f"REQUEST: ClassVar[type[{request}]] = {request}")
    if message.name in VERSION_PREFIXED:
        head.append("PREFIXED: ClassVar[bool] = True")
    nested: list[str] = []
    for struct in message.structs:
        nested += [*struct_class(struct, message, "Struct", [], []), ""]
    return struct_class(message.root, message, base, head, nested[:-1])


def module(messages: list[Message], version: str) -> str:
    """The text of one module: a request and its response, or a few data messages."""
    messages = sorted(messages, key=lambda m: (m.kind != "request", m.name))
    body: list[str] = []
    for message in messages:
        body += ["", "", *message_class(message)]
        if message.kind == "response":
            body += ["", "", f"{message.name.removesuffix('Response')}Request.RESPONSE = {message.name}"]
    text = "\n".join(body)
    bases = sorted({m.kind.title() if m.kind in ("request", "response") else "Message" for m in messages})
    if any(m.structs for m in messages):
        bases.append("Struct")
    if "result_of(" in text:
        bases.append("result_of")
    head = [
        f"# Generated by codegen from the schemas of Kafka {version}; do not edit.",
        *(["# ruff: noqa: E501"] if any(len(line) > 120 for line in body) else []),
        "from __future__ import annotations",
        "",
    ]
    if "Sequence[" in text:
        head.append("from collections.abc import Sequence")
    typing = "TYPE_CHECKING, ClassVar" if "Self" in text or "Buffer" in text else "ClassVar"
    head += [f"from typing import {typing}", ""]
    if "for_code(" in text:
        head += ["from kafka.errors import BrokerResponseError, for_code"]
    head.append(f"from kafka.protocol._message import {', '.join(bases)}")
    if "Result[" in text:
        head.append("from kafka.result import Result")
    extensions = [name for name in ("Buffer", "Self") if name in text]
    if extensions:
        head += ["", "if TYPE_CHECKING:", f"    from typing_extensions import {', '.join(extensions)}"]
    return "\n".join(head) + "\n" + text + "\n"


def package(modules: dict[str, list[Message]], version: str) -> str:
    """`_names.py`: which module has which message, for the lazy imports, and the same for type checkers."""
    names = sorted((m.name, name) for name, messages in modules.items() for m in messages)
    apis = sorted((m.api_key, m.name) for ms in modules.values() for m in ms if m.kind == "request")
    lines = [
        f"# Generated by codegen from the schemas of Kafka {version}; do not edit.",
        '"""Where each message is defined."""',
        "",
        f'SCHEMA_VERSION = "{version}"',
        "MODULES = {",
        *(f'    "{name}": "{module_}",' for name, module_ in names),
        "}",
        "REQUESTS = {",
        *(f'    {key}: "{name}",' for key, name in apis),
        "}",
        "",
    ]
    return "\n".join(lines)


def stub_imports(modules: dict[str, list[Message]]) -> str:
    """The `if TYPE_CHECKING` imports of `kafka/protocol/__init__.py`."""
    lines = ["if TYPE_CHECKING:"]
    for name in sorted(modules):
        for message in sorted(m.name for m in modules[name]):
            lines.append(f"    from kafka.protocol.{name} import {message} as {message}")
    return "\n".join(lines) + "\n"
