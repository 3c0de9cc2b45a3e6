"""What botocore's model of EC2 says of the actions that this VPC serves: their parameters, filters,
waiters and paginators."""

import html
import pathlib
import re

import botocore.session

FIDELITY = pathlib.Path(__file__).parents[2] / "docs/fidelity.md"

_SESSION = botocore.session.get_session()
_LOADER = _SESSION.get_component("data_loader")
EC2 = _SESSION.get_service_model("ec2")


def marks():
    """The state of each action, as docs/fidelity.md says."""
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (\w+) \|", FIDELITY.read_text(), re.MULTILINE)
    return dict(rows)


def served():
    """The names of the actions, as docs/fidelity.md lists them; a Rust test keeps that list true."""
    return [name for name, state in marks().items() if state != "absent"]


def members(action):
    """The parameters of an action, by the names that Python uses."""
    shape = EC2.operation_model(action).input_shape
    return dict(shape.members) if shape else {}


def documented_filters(action):
    """The filters that the documentation of an action lists. `tag:<key>` is written as `tag:`."""
    text = "".join(
        shape.documentation for name, shape in members(action).items() if name in ("Filter", "Filters")
    )
    names = re.findall(r"<li>\s*<p>\s*<code>([^<]+)</code>", text)
    return sorted({_plain(html.unescape(name)) for name in names})


def _plain(name):
    return "tag:" if name == "tag" or name.startswith("tag:") else name


def waiters():
    """Waiter names (as of Python) of the actions that are served."""
    known = _LOADER.load_service_model("ec2", "waiters-2")["waiters"]
    mine = set(served())
    return sorted(python_name(name) for name, each in known.items() if each["operation"] in mine)


def paginators():
    """Operations (as of Python) that are served and have a paginator, with the key of their pages."""
    known = _LOADER.load_service_model("ec2", "paginators-1")["pagination"]
    mine = set(served())
    return {python_name(name): each["result_key"] for name, each in known.items() if name in mine}


def python_name(name):
    """`DescribeVpcs` as boto3 calls it."""
    return botocore.xform_name(name)
