"""What the service can do, as a machine reads it: WADL, or the same as JSON (PS3.18 §8.9, Annex H).

Made from the routes themselves, so that it cannot say anything else than they do.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast
from xml.sax.saxutils import escape, quoteattr

from starlette.routing import BaseRoute

from dicomweb.addresses import PREFIX

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = "http://wadl.dev.java.net/2009/02"

_TEMPLATE = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header field of a method."""

    name: str
    style: str
    """``query`` or ``header``."""
    text: str = ""
    options: tuple[str, ...] = ()


# PS3.18 Table 10.1.2-1 and Table 10.4.1-5: every resource takes these two.
_NEGOTIATION = (
    Parameter("accept", "query", "A media type that goes before the Accept header"),
    Parameter("charset", "query", "Of text", ("UTF-8",)),
)


@dataclass(frozen=True, slots=True)
class Method:
    """What can be done with a resource."""

    name: str
    """GET, POST or DELETE; the others follow from these (HEAD) or are this one (OPTIONS)."""
    identifier: str
    text: str
    parameters: tuple[Parameter, ...]
    taken: tuple[str, ...]
    """Media types of the request."""
    media_types: tuple[str, ...]
    """Of the response when it succeeds."""
    statuses: tuple[int, ...]


@dataclass(slots=True)
class Resource:
    """A node of the tree of resources."""

    path: str
    """Relative to the node above."""
    methods: list[Method] = field(default_factory=list)
    children: dict[str, "Resource"] = field(default_factory=dict)


def resources_of(routes: Iterable[BaseRoute]) -> Resource:
    """Make the tree of all that lies below the base URL of the service."""
    root = Resource("")
    for route in routes:
        path = getattr(route, "path", "")
        if not path.startswith(PREFIX + "/"):
            continue
        node = root
        for step in _TEMPLATE.sub(r"{\1}", path[len(PREFIX) + 1 :]).split("/"):
            if step:
                node = node.children.setdefault(step, Resource(step))
        names = sorted((getattr(route, "methods", None) or set()) - {"HEAD", "OPTIONS"})
        node.methods += [_method(route, name) for name in names]
    return root


def _method(route: BaseRoute, name: str) -> Method:
    about = cast("Any", route)  # plain routes and FastAPI's have the same attributes
    extra: dict[str, Any] = about.openapi_extra or {}
    responses: dict[int | str, dict[str, Any]] = about.responses
    succeeding = [one.get("content", {}) for code, one in responses.items() if int(code) < 300]
    media_types = extra.get("x-accept") or [kind for content in succeeding for kind in content]
    parameters = [Parameter("Accept", "header", options=tuple(media_types))]
    if name == "GET":
        parameters += _NEGOTIATION
    for one in extra.get("parameters", ()):
        parameters.append(Parameter(one["name"], one["in"], one.get("description", "")))
    return Method(
        name=name,
        identifier="".join(word.capitalize() for word in about.name.split("_")),
        text=(getattr(route, "description", None) or "").partition("\n")[0],
        parameters=tuple(parameters),
        taken=tuple(extra.get("requestBody", {}).get("content", ())),
        media_types=tuple(dict.fromkeys(media_types)),
        statuses=tuple(sorted({200, *map(int, responses)})),
    )


def as_wadl(root: Resource, base: str) -> bytes:
    """Write the tree as a WADL document whose resources are relative to `base`."""
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<application xmlns="{NAMESPACE}" xmlns:xs="http://www.w3.org/2001/XMLSchema">\n'
        f"<resources base={quoteattr(base)}>\n"
    ]
    for child in root.children.values():
        _write(child, out)
    out.append("</resources>\n</application>\n")
    return "".join(out).encode()


def _write(node: Resource, out: list[str]) -> None:
    out.append(f"<resource path={quoteattr(node.path)}>\n")
    out += [
        f'<param name="{name}" style="template" type="xs:string" required="true"/>\n'
        for name in _TEMPLATE.findall(node.path)
    ]
    for method in node.methods:
        out.append(f'<method name="{method.name}" id="{method.identifier}">\n')
        if method.text:
            out.append(f"<doc>{escape(method.text)}</doc>\n")
        out.append("<request>\n")
        for one in method.parameters:
            out.append(f'<param name={quoteattr(one.name)} style="{one.style}" type="xs:string"')
            inside = [f"<doc>{escape(one.text)}</doc>"] if one.text else []
            inside += [f"<option value={quoteattr(option)}/>" for option in one.options]
            out.append(f">{''.join(inside)}</param>\n" if inside else "/>\n")
        out += [f"<representation mediaType={quoteattr(kind)}/>\n" for kind in method.taken]
        out.append("</request>\n")
        good = [code for code in method.statuses if code < 300]
        bad = [code for code in method.statuses if code >= 300]
        out.append(f'<response status="{" ".join(map(str, good))}">')
        out += [f"<representation mediaType={quoteattr(kind)}/>" for kind in method.media_types]
        out.append("</response>\n")
        if bad:
            out.append(f'<response status="{" ".join(map(str, bad))}"/>\n')
        out.append("</method>\n")
    for child in node.children.values():
        _write(child, out)
    out.append("</resource>\n")


def as_json(root: Resource, base: str) -> dict[str, Any]:
    """Give the same tree as what JSON has."""
    return {"base": base, "resources": [_node(child) for child in root.children.values()]}


def _node(node: Resource) -> dict[str, Any]:
    return {
        "path": node.path,
        "methods": [
            {
                "name": method.name,
                "id": method.identifier,
                "description": method.text,
                "parameters": [
                    {
                        "name": one.name,
                        "style": one.style,
                        **({"options": list(one.options)} if one.options else {}),
                    }
                    for one in method.parameters
                ],
                **({"takes": list(method.taken)} if method.taken else {}),
                "mediaTypes": list(method.media_types),
                "statuses": list(method.statuses),
            }
            for method in node.methods
        ],
        "resources": [_node(child) for child in node.children.values()],
    }
