"""What every script of this folder uses. They are run as `python NAME.py BOOTSTRAP TOPIC` under either library."""

import json
import sys

bootstrap, topic = sys.argv[1:3]


def attempt(call, *args, **kwargs):
    """What a call returns, or the classes of what it raises: an `except` for any of them catches it."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return raised(error)


def raised(error):
    return {"raised": [base.__name__ for base in type(error).__mro__ if base is not object]}


def report(**facts):
    """Prints the facts as JSON. `log`: how the topics are compared (test_scripts.comparable); None: not at all."""
    facts.setdefault("log", "exact")
    print(json.dumps(facts).replace(topic, "TOPIC"))
