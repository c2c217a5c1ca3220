"""pydo, DigitalOcean's own client for Python: `Client(token, endpoint=URL)`.

Its policy for the token refuses plain http, so the token is given as a header by a policy of ours.
"""

from importlib.metadata import version
from itertools import count

import pydo
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import HeadersPolicy

from stage import API, TOKEN, refuse_once, refused, same, tell, until


def connect(token):
    bearer = HeadersPolicy({"Authorization": f"Bearer {token}"})
    return pydo.Client(token, endpoint=API, authentication_policy=bearer)


client = connect(TOKEN)
WISH = {"region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-13-x64"}
made = {}


def every(key, listing, **query):
    """All pages, two items each, by counting pages as long as there is a next one."""
    items = []
    for page in count(1):
        answer = listing(page=page, per_page=2, **query)
        items += answer[key]
        if "next" not in answer.get("links", {}).get("pages", {}):
            same(f"total of {key}", answer["meta"]["total"], len(items))
            return items


def act(droplet, **body):
    """Starts an action and polls until it is done."""
    action = client.droplet_actions.post(droplet, body)["action"]
    same(body["type"], action["type"], body["type"])
    done = lambda: client.actions.get(action["id"])["action"]["status"] == "completed"
    until(body["type"], done)
    same("scoped status", client.droplet_actions.get(droplet, action["id"])["action"]["status"], "completed")


def the_account_and_what_is_sold():
    same("account", client.account.get()["account"]["status"], "active")
    assert "fra1" in [region["slug"] for region in every("regions", client.regions.list)]
    assert "s-1vcpu-1gb" in [size["slug"] for size in every("sizes", client.sizes.list)]
    images = every("images", client.images.list, type="distribution")
    assert "debian-13-x64" in [image["slug"] for image in images]
    same("image", client.images.get("debian-13-x64")["image"]["distribution"], "Debian")


def keys():
    public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPf6GrZCdxel6UPmBV+Y9vnGsU84n/e1iwC27OpD3YYh pydo"
    key = client.ssh_keys.create({"name": "pydo", "public_key": public_key})["ssh_key"]
    assert key["id"] in [other["id"] for other in every("ssh_keys", client.ssh_keys.list)]
    same("by fingerprint", client.ssh_keys.get(key["fingerprint"])["ssh_key"]["id"], key["id"])
    client.ssh_keys.update(key["id"], {"name": "renamed"})
    same("renamed", client.ssh_keys.get(key["id"])["ssh_key"]["name"], "renamed")
    made["key"] = key["id"]


def droplets():
    body = {**WISH, "name": "pydo-1", "tags": ["pydo"], "ssh_keys": [made["key"]], "ipv6": True}
    created = client.droplets.create(body)
    droplet, action = created["droplet"], created["links"]["actions"][0]
    same("status", (droplet["status"], action["rel"]), ("new", "create"))
    many = client.droplets.create({**WISH, "names": ["pydo-2", "pydo-3"], "tags": ["pydo"]})["droplets"]
    active = lambda: client.droplets.get(droplet["id"])["droplet"]["status"] == "active"
    until("the droplet", active)
    same("action", client.actions.get(action["id"])["action"]["status"], "completed")
    shown = client.droplets.get(droplet["id"])["droplet"]
    same("networks", sorted(net["type"] for net in shown["networks"]["v4"]), ["private", "public"])
    ids = {droplet["id"], *(other["id"] for other in many)}
    same("all pages", {other["id"] for other in every("droplets", client.droplets.list)}, ids)
    by_tag = every("droplets", client.droplets.list, tag_name="pydo")
    same("by tag", {other["id"] for other in by_tag}, ids)
    by_name = client.droplets.list(name="PYDO-2")["droplets"]
    same("by name", [other["name"] for other in by_name], ["pydo-2"])
    made["droplet"] = droplet["id"]


def power_name_size_and_image():
    droplet = made["droplet"]
    act(droplet, type="power_off")
    same("off", client.droplets.get(droplet)["droplet"]["status"], "off")
    act(droplet, type="resize", size="s-2vcpu-4gb", disk=True)
    act(droplet, type="power_on")
    act(droplet, type="rename", name="pydo-renamed")
    for kind in ["reboot", "power_cycle", "password_reset", "enable_backups", "disable_backups", "enable_ipv6"]:
        act(droplet, type=kind)
    act(droplet, type="rebuild", image="ubuntu-24-04-x64")
    act(droplet, type="shutdown")
    shown = client.droplets.get(droplet)["droplet"]
    seen = (shown["name"], shown["size_slug"], shown["image"]["slug"], shown["status"])
    same("in the end", seen, ("pydo-renamed", "s-2vcpu-4gb", "ubuntu-24-04-x64", "off"))
    actions = every("actions", lambda **query: client.droplet_actions.list(droplet, **query))
    same("its actions", len(actions), 13)


def snapshots():
    droplet = made["droplet"]
    act(droplet, type="snapshot", name="pydo-snapshot")
    listed = every("snapshots", client.snapshots.list, resource_type="droplet")
    same("snapshots", [snapshot["name"] for snapshot in listed], ["pydo-snapshot"])
    own = client.droplets.list_snapshots(droplet)["snapshots"]
    same("two types of id", [str(snapshot["id"]) for snapshot in own], [listed[0]["id"]])
    act(droplet, type="restore", image=own[0]["id"])
    kept = {"resources": [{"resource_id": listed[0]["id"], "resource_type": "image"}]}
    client.tags.create({"name": "kept"})
    client.tags.assign_resources("kept", kept)
    tagged = client.images.list(tag_name="kept")["images"]
    same("images by tag", [image["tags"] for image in tagged], [["kept"]])
    client.tags.delete("kept")
    image = client.images.get(own[0]["id"])["image"]
    same("as an image", (image["type"], image["name"]), ("snapshot", "pydo-snapshot"))
    copy = client.droplets.create({**WISH, "name": "copy", "size": "s-2vcpu-4gb", "image": own[0]["id"]})
    until("the copy", lambda: client.droplets.get(copy["droplet"]["id"])["droplet"]["status"] == "active")
    client.droplets.destroy(copy["droplet"]["id"])
    client.snapshots.delete(listed[0]["id"])
    same("deleted", client.snapshots.list()["snapshots"], [])


def tags():
    resources = {"resources": [{"resource_id": str(made["droplet"]), "resource_type": "droplet"}]}
    client.tags.create({"name": "Extra"})
    client.tags.assign_resources("Extra", resources)
    assert "Extra" in client.droplets.get(made["droplet"])["droplet"]["tags"]
    same("count", client.tags.get("Extra")["tag"]["resources"]["droplets"]["count"], 1)
    client.tags.unassign_resources("Extra", resources)
    client.tags.delete("Extra")
    assert "Extra" not in [tag["name"] for tag in every("tags", client.tags.list)]
    # It raises nothing for a 400 or 404 that the description has, and returns the error.
    assert "no.dots" in client.tags.create({"name": "no.dots"})["error"]


def refusals():
    same("an unknown droplet", client.droplets.get(1)["id"], "not_found")
    refused("an unknown image", lambda: client.droplets.create({**WISH, "name": "x", "image": "plan9"}),
            HttpResponseError, lambda error: error.status_code == 422 and "invalid image" in str(error))
    refused("a wrong token", lambda: connect("wrong").account.get(), HttpResponseError,
            lambda error: error.status_code == 401)
    refuse_once(429, retry_after="1")
    same("after a 429", client.account.get()["account"]["status"], "active")
    refuse_once(429)
    refused("a 429 without retries", lambda: client.account.get(retry_total=0), HttpResponseError,
            lambda error: error.status_code == 429)
    refuse_once(503)
    same("after a 503", client.account.get()["account"]["status"], "active")


def the_end():
    client.droplets.destroy(made["droplet"])
    client.droplets.destroy_by_tag(tag_name="pydo")
    until("the end", lambda: not client.droplets.list()["droplets"])
    client.tags.delete("pydo")
    client.ssh_keys.delete(made["key"])


tell(f"pydo {version('pydo')}", the_account_and_what_is_sold, keys, droplets, power_name_size_and_image, snapshots,
     tags, refusals, the_end)
