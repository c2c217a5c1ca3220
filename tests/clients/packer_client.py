"""Packer's builder for DigitalOcean (it uses godo): `api_url`. It makes a key and a droplet, shuts the droplet down, takes a
snapshot, and deletes what it made but the snapshot.
"""

import json
import os
import subprocess
import tempfile

from stage import API, TOKEN, control, same, tell

TEMPLATE = {
    "builders": [{
        "type": "digitalocean", "api_token": TOKEN, "api_url": API, "communicator": "none", "region": "fra1",
        "size": "s-1vcpu-1gb", "image": "debian-13-x64", "snapshot_name": "packer-snapshot", "tags": ["packer"],
        "ipv6": True, "monitoring": True, "user_data": "#cloud-config",
    }],
}


def version():
    return subprocess.run(["packer", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def build():
    with tempfile.TemporaryDirectory() as folder:
        template = os.path.join(folder, "template.json")
        with open(template, "w") as file:
            json.dump(TEMPLATE, file)
        environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "PACKER_CONFIG_DIR": folder}
        built = subprocess.run(["packer", "build", "-color=false", template], capture_output=True, text=True,
                               cwd=folder, env=environment, timeout=240)
    assert built.returncode == 0, built.stdout + built.stderr
    state = control("GET", "/state")
    [snapshot] = [snapshot for snapshot in state["snapshots"] if snapshot["name"] == "packer-snapshot"]
    same("the snapshot", (snapshot["visible"], snapshot["deleted"]), (True, False))
    assert str(snapshot["id"]) in built.stdout, built.stdout
    made = [droplet for droplet in state["droplets"] if "packer" in droplet["tags"]]
    same("one droplet was made", len(made), 1)


tell(f"packer {version()}", build)
