"""DigitalOcean's own MCP server, which is built on the newest godo: `--digitalocean-api-endpoint URL`.

MCP_SERVER names its executable, as the npm package ships it.
"""

import itertools
import json
import os
import subprocess

from stage import API, TOKEN, control, refuse_once, same, tell, until

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMF/YBVZArgcjN9idW4igtVcoo6d9F7zlg+aahVWvrlj mcp"
WISH = {"Size": "s-1vcpu-1gb", "Region": "fra1", "Tags": ["mcp"]}
numbers = itertools.count(1)
made = {}


def serve(token):
    command = [os.environ["MCP_SERVER"], "-digitalocean-api-endpoint", API, "-digitalocean-api-token", token,
               "-services", "droplets,accounts", "-log-level", "error"]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "stage", "version": "1"}}
    made["server"] = ask(server, "initialize", hello)["serverInfo"]
    return server


def ask(server, method, params):
    number = next(numbers)
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n")
    server.stdin.flush()
    while True:
        message = json.loads(server.stdout.readline())
        if message.get("id") == number:
            return message["result"]


def told(tool, **arguments):
    """What a tool says: whether it is an error, and its text."""
    answer = ask(server, "tools/call", {"name": tool, "arguments": arguments})
    return answer.get("isError", False), answer["content"][0]["text"]


def use(tool, **arguments):
    failed, text = told(tool, **arguments)
    assert not failed, f"{tool}: {text}"
    try:
        return json.loads(text)
    except ValueError:
        return text


def act(tool, **arguments):
    action = use(tool, ID=made["droplet"], **arguments)
    until(tool, lambda: use("action-get", ID=action["id"])["status"] == "completed")
    same("scoped", use("droplet-action", DropletID=made["droplet"], ActionID=action["id"])["status"], "completed")


def every(tool, **arguments):
    items = []
    for page in itertools.count(1):
        found = use(tool, Page=page, PerPage=2, **arguments)
        items += found
        if len(found) < 2:
            return items


server = serve(TOKEN)


def the_account_and_what_is_sold():
    same("account", use("account-get-information")["status"], "active")
    assert "fra1" in [region["slug"] for region in every("region-list")]
    assert "s-1vcpu-1gb" in [size["slug"] for size in every("size-list")]
    assert "debian-13-x64" in [image["slug"] for image in every("image-list", Type="distribution")]


def keys():
    key = use("key-create", Name="mcp", PublicKey=PUBLIC_KEY)
    same("by id", use("key-get", ID=key["id"])["fingerprint"], key["fingerprint"])
    assert key["id"] in [other["id"] for other in every("key-list")]
    made["key"] = key


def droplets():
    droplet = use("droplet-create", Name="mcp-1", ImageSlug="debian-13-x64", SSHKeys=[made["key"]["fingerprint"]], **WISH)
    made["droplet"] = droplet["id"]
    use("droplet-create", Name="mcp-2", ImageID=203555501, SSHKeys=[made["key"]["id"]], Backup=True, Monitoring=True, **WISH)
    use("droplet-create", Name="mcp-3", ImageSlug="debian-13-x64", **WISH)
    until("the droplet", lambda: use("droplet-get", ID=droplet["id"])["status"] == "active")
    same("all pages", {other["name"] for other in every("droplet-list")}, {"mcp-1", "mcp-2", "mcp-3"})


def power_name_size_and_image():
    act("shutdown-droplet")
    act("resize-droplet", Size="s-2vcpu-4gb", ResizeDisk=True)
    act("power-on-droplet")
    act("rename-droplet", Name="mcp-renamed")
    for tool in ["reboot-droplet", "power-cycle-droplet", "reset-droplet-password", "enable-backups-droplet",
                 "disable-backups-droplet", "enable-ipv6-droplet", "droplet-enable-private-net"]:
        act(tool)
    act("rebuild-droplet-by-slug", ImageSlug="ubuntu-24-04-x64")
    act("snapshot-droplet", Name="mcp-snapshot")
    [image] = [image for image in every("image-list", Type="user") if image["name"] == "mcp-snapshot"]
    act("restore-droplet", ImageID=image["id"])
    use("image-update", ID=image["id"], Name="mcp-kept")
    same("renamed", use("image-get", ID=image["id"])["name"], "mcp-kept")
    use("image-delete", ID=image["id"])
    use("power-off-droplets-tag", Tag="mcp")
    until("all off", lambda: {other["status"] for other in every("droplet-list")} == {"off"})


def refusals():
    failed, text = told("droplet-get", ID=1)
    assert failed and "404" in text, text
    failed, text = told("droplet-create", Name="under_score", ImageSlug="debian-13-x64", **WISH)
    assert failed and "422" in text and "hostname" in text, text
    refuse_once(429, retry_after="1")
    same("after a 429", use("account-get-information")["status"], "active")
    refuse_once(500)
    same("after a 500", use("account-get-information")["status"], "active")


def the_end():
    for droplet in every("droplet-list"):
        use("droplet-delete", ID=droplet["id"])
    until("the end", lambda: not every("droplet-list"))
    use("key-delete", ID=made["key"]["id"])


tell(f"@digitalocean/mcp {made['server']['version']}", the_account_and_what_is_sold, keys, droplets,
     power_name_size_and_image, refusals, the_end)
