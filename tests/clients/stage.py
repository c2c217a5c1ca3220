"""What the Python clients share: where the simulator is, what there really is, and a count of what held."""

import json
import os
import sys
import time
import traceback
import urllib.request

API = os.environ["SIM_API"]
CONTROL = os.environ["SIM_CONTROL"]
TOKEN = os.environ["SIM_TOKEN"]

held, broken = 0, 0


def control(method, path, body=None):
    """One call of the control API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(CONTROL + path, data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def refuse_once(status, path="/v2/account", method="GET", retry_after=None):
    """The next request of this kind is refused, before it has an effect."""
    fault = {"kind": "answer", "point": "before-effect", "status": status, "retry_after": retry_after}
    control("POST", "/faults", {"match": {"method": method, "path": path}, "times": 1, "fault": fault})


def until(what, look, seconds=20):
    """Looks until there is something to see."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def same(what, found, wanted):
    assert found == wanted, f"{what}: {found!r}, not {wanted!r}"


def refused(what, call, kind, told=lambda error: True):
    """The call fails with an error of this kind that tells the right thing."""
    try:
        answer = call()
    except kind as error:
        assert told(error), f"{what}: {error!r}"
        return error
    raise AssertionError(f"{what} is not refused: {answer!r}")


def tell(client, *scenes):
    """Runs the scenes in order, each in spite of what became of those before it; ends the process."""
    global held, broken
    for scene in scenes:
        control("DELETE", "/faults")
        try:
            scene()
            held += 1
        except Exception:
            broken += 1
            print(f"{client}: {scene.__name__} broke", file=sys.stderr)
            traceback.print_exc()
    try:
        until("no droplet that is left", lambda: control("GET", "/droplets/count")["live"] == 0)
    except AssertionError as error:
        broken += 1
        print(f"{client}: {error}", file=sys.stderr)
    print(f"{client}: {held} passed, {broken} failed")
    sys.exit(broken > 0)
