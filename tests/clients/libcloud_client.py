"""Apache Libcloud's driver for DigitalOcean. It takes no address, but its connection does: host, port, secure.

It sends the ids of images as text, which the simulator takes only with `--lenient`.
"""

from importlib.metadata import version
from urllib.parse import urlsplit

from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError
from libcloud.compute.drivers.digitalocean import DigitalOceanNodeDriver
from libcloud.compute.types import NodeState

from stage import API, TOKEN, refuse_once, refused, same, tell, until


def connect(token):
    driver = DigitalOceanNodeDriver(token)
    driver.ex_per_page = 2
    where = urlsplit(API)
    connection = driver.connection
    connection.host, connection.port, connection.secure = where.hostname, where.port, False
    connection.connect()
    return driver


driver = connect(TOKEN)
made = {}


def picked(things, identity):
    [thing] = [thing for thing in things if thing.id == identity]
    return thing


def look(node):
    return driver.ex_get_node_details(node.id)


def settled(node):
    """The node once no action runs on it."""
    idle = lambda: all(event["status"] != "in-progress" for event in driver.ex_list_events()
                       if str(event["resource_id"]) == str(node.id))
    until("an idle droplet", idle)
    return look(node)


def the_account_and_what_is_sold():
    same("account", driver.ex_account_info()["status"], "active")
    made["location"] = picked(driver.list_locations(), "fra1")
    made["size"] = picked(driver.list_sizes(made["location"]), "s-1vcpu-1gb")
    made["larger"] = picked(driver.list_sizes(), "s-2vcpu-4gb")
    [made["image"]] = [image for image in driver.list_images() if image.extra["slug"] == "debian-13-x64"]


def keys():
    public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIaNj9xn16jwVb3uUHYsEeKzczl+AOECdw1jJdRLxWWa libcloud"
    key = driver.create_key_pair("libcloud", public_key)
    same("by name", driver.get_key_pair("libcloud").fingerprint, key.fingerprint)
    made["key"] = key


def nodes():
    nodes = []
    for number in range(3):
        extra = {"tags": ["lc"], "ssh_keys": [made["key"].fingerprint], "ipv6": True, "backups": False}
        nodes.append(driver.create_node(f"lc-{number}", made["size"], made["image"], made["location"],
                                        ex_create_attr=extra))
    same("new", nodes[0].state, NodeState.PENDING)
    same("all pages", {node.id for node in driver.list_nodes()}, {node.id for node in nodes})
    [running] = [node for node, _ in driver.wait_until_running([nodes[0]], wait_period=0.2)]
    assert running.public_ips and running.private_ips
    for node in nodes:
        settled(node)
    made["nodes"] = nodes


def power_name_size_and_image():
    node = made["nodes"][0]
    def act(call, *arguments):
        same("accepted", call(node, *arguments), True)
        return settled(node)
    same("off", act(driver.ex_shutdown_node).state, NodeState.STOPPED)
    same("size", act(driver.ex_resize_node, made["larger"]).size.id, "s-2vcpu-4gb")
    same("on", act(driver.ex_power_on_node).state, NodeState.RUNNING)
    same("name", act(driver.ex_rename_node, "lc-renamed").name, "lc-renamed")
    for call in [driver.reboot_node, driver.ex_hard_reboot, driver.ex_enable_ipv6]:
        act(call)
    same("rebuilt", act(driver.ex_rebuild_node).image.id, made["image"].id)


def images():
    node = made["nodes"][0]
    same("accepted", driver.create_image(node, "lc-snapshot"), True)
    settled(node)
    [image] = [image for image in driver.list_images() if image.name == "lc-snapshot"]
    same("by id", driver.get_image(image.id).name, "lc-snapshot")
    copy = driver.create_node("lc-copy", made["larger"], image, made["location"])
    settled(copy)
    same("destroyed", driver.destroy_node(copy), True)
    until("the end of the copy", lambda: copy.id not in [node.id for node in driver.list_nodes()])
    same("deleted", driver.delete_image(image), True)


def refusals():
    refused("an unknown droplet", lambda: driver.ex_get_node_details(1), BaseHTTPError,
            lambda error: error.code == 404)
    refused("a bad name", lambda: driver.create_node("under_score", made["size"], made["image"], made["location"]),
            BaseHTTPError, lambda error: error.code == 422 and "hostname" in str(error))
    refused("a wrong token", connect("wrong").ex_account_info, InvalidCredsError)
    refuse_once(429, retry_after="1")
    refused("a 429", driver.ex_account_info, RateLimitReachedError, lambda error: error.retry_after == 1)
    refuse_once(500)
    refused("a 500", driver.ex_account_info, BaseHTTPError, lambda error: error.code == 500)


def the_end():
    for node in driver.list_nodes():
        same("destroyed", driver.destroy_node(node), True)
    until("the end", lambda: not driver.list_nodes())
    same("key deleted", driver.delete_key_pair(made["key"]), True)


tell(f"apache-libcloud {version('apache-libcloud')}", the_account_and_what_is_sold, keys, nodes,
     power_name_size_and_image, images, refusals, the_end)
