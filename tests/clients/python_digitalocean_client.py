"""python-digitalocean: `DIGITALOCEAN_END_POINT=URL/v2/` in the environment.

It follows the links to other pages as they stand, so the simulator must name itself in them: `--lenient`.
"""

import os
from importlib.metadata import version

from stage import API, TOKEN, control, refuse_once, refused, same, tell, until

os.environ["DIGITALOCEAN_END_POINT"] = API + "/v2/"

import digitalocean

manager = digitalocean.Manager(token=TOKEN)
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlHgyUFeTiTt+TSUfogO7nAA5XH6tVP/tNFXAa1OEFy laptop"
made = {}


def droplet_of(name, **more):
    return digitalocean.Droplet(token=TOKEN, name=name, region="fra1", image="debian-13-x64", size_slug="s-1vcpu-1gb",
                                tags=["pdo"], **more)


def act(droplet, started):
    """Polls the action that a call answered with until it is done."""
    action = droplet.get_action(started["action"]["id"])
    same(started["action"]["type"], action.wait(update_every_seconds=0.2), True)
    droplet.load()


def the_account_and_what_is_sold():
    same("account", manager.get_account().status, "active")
    assert "fra1" in [region.slug for region in manager.get_all_regions()]
    assert "s-1vcpu-1gb" in [size.slug for size in manager.get_all_sizes()]
    assert "debian-13-x64" in [image.slug for image in manager.get_distro_images()]
    same("image", manager.get_image("debian-13-x64").distribution, "Debian")
    same("own images", manager.get_my_images(), [])
    same("ratelimit", manager.ratelimit_limit, str(control("GET", "/options")["rate_per_hour"]))


def keys():
    key = digitalocean.SSHKey(token=TOKEN, name="laptop", public_key=PUBLIC_KEY)
    key.create()
    key.load()
    same("fingerprint", len(key.fingerprint), 47)
    key.name = "renamed"
    key.edit()
    same("renamed", manager.get_ssh_key(key.id).name, "renamed")
    by_key = digitalocean.SSHKey(token=TOKEN)
    by_key.load_by_pub_key(PUBLIC_KEY)
    same("by public key", by_key.id, key.id)
    made["key"] = key


def droplets():
    droplet = droplet_of("pdo-1", ssh_keys=[PUBLIC_KEY], backups=True, ipv6=True, user_data="#cloud-config")
    droplet.create()
    droplet.load()
    same("new", droplet.status, "new")
    [create] = droplet.get_actions()
    same("create", (create.type, create.wait(update_every_seconds=0.2)), ("create", True))
    droplet.load()
    same("active", droplet.status, "active")
    assert droplet.ip_address and droplet.private_ip_address and droplet.ip_v6_address
    many = digitalocean.Droplet.create_multiple(token=TOKEN, names=["pdo-2", "pdo-3"], region="fra1",
                                                image="debian-13-x64", size_slug="s-1vcpu-1gb", tags=["pdo"])
    same("many", [other.name for other in many], ["pdo-2", "pdo-3"])
    ids = {droplet.id, *(other.id for other in many)}
    same("all pages", {other.id for other in manager.get_all_droplets(params={"per_page": 2})}, ids)
    same("by tag", {other.id for other in manager.get_all_droplets(tag_name="pdo")}, ids)
    same("by id", manager.get_droplet(droplet.id).name, "pdo-1")
    made["droplet"] = droplet


def power_name_size_and_image():
    droplet = made["droplet"]
    act(droplet, droplet.power_off())
    same("off", droplet.status, "off")
    act(droplet, droplet.resize("s-2vcpu-4gb"))
    act(droplet, droplet.power_on())
    act(droplet, droplet.rename("pdo-renamed"))
    for call in [droplet.reboot, droplet.power_cycle, droplet.reset_root_password, droplet.disable_backups,
                 droplet.enable_backups, droplet.enable_ipv6, droplet.enable_private_networking]:
        act(droplet, call())
    same("backups", droplet.backups, True)
    act(droplet, droplet.rebuild("ubuntu-24-04-x64"))
    act(droplet, droplet.shutdown())
    seen = (droplet.name, droplet.size_slug, droplet.image["slug"], droplet.status)
    same("in the end", seen, ("pdo-renamed", "s-2vcpu-4gb", "ubuntu-24-04-x64", "off"))


def snapshots():
    droplet = made["droplet"]
    act(droplet, droplet.take_snapshot("pdo-snapshot"))
    [image] = droplet.get_snapshots()
    image.load()
    same("as an image", (image.name, manager.get_image(image.id).type), ("pdo-snapshot", "snapshot"))
    [snapshot] = manager.get_droplet_snapshots()
    same("listed", (snapshot.name, snapshot.id), ("pdo-snapshot", str(image.id)))
    same("of volumes", manager.get_volume_snapshots(), [])
    same("by id", manager.get_snapshot(snapshot.id).name, "pdo-snapshot")
    act(droplet, droplet.restore(image.id))
    image.rename("pdo-renamed")
    same("renamed", [mine.name for mine in manager.get_my_images()], ["pdo-renamed"])
    same("deleted", snapshot.destroy(), True)
    refused("a deleted snapshot", lambda: manager.get_snapshot(snapshot.id), digitalocean.NotFoundError)


def tags():
    droplet = made["droplet"]
    tag = digitalocean.Tag(token=TOKEN, name="Extra")
    tag.create()
    tag.add_droplets([str(droplet.id)])
    droplet.load()
    same("tagged", sorted(droplet.tags), ["Extra", "pdo"])
    tag.remove_droplets([droplet.id])
    tag.delete()
    assert "Extra" not in [other.name for other in manager.get_all_tags()]


def refusals():
    refused("an unknown droplet", lambda: manager.get_droplet(1), digitalocean.NotFoundError)
    refused("an unknown size", lambda: digitalocean.Droplet(
        token=TOKEN, name="x", region="fra1", image="debian-13-x64", size_slug="huge").create(),
        digitalocean.DataReadError, lambda error: "invalid size" in str(error))
    refused("a wrong token", lambda: digitalocean.Manager(token="wrong").get_account(), digitalocean.DataReadError,
            lambda error: "authenticate" in str(error))
    refuse_once(429, retry_after="1")
    refused("a 429", manager.get_account, digitalocean.DataReadError, lambda error: "limit" in str(error))


def the_end():
    for droplet in manager.get_all_droplets(tag_name="pdo"):
        same("destroyed", droplet.destroy(), True)
    until("the end", lambda: not manager.get_all_droplets())
    digitalocean.Tag(token=TOKEN, name="pdo").delete()
    made["key"].destroy()


tell(f"python-digitalocean {version('python-digitalocean')}", the_account_and_what_is_sold, keys, droplets,
     power_name_size_and_image, snapshots, tags, refusals, the_end)
