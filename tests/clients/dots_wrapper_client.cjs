// dots-wrapper, the client for Node.js with the most users: `createApiClient({ token, endpoint: URL + "/v2" })`.
const assert = require("node:assert/strict");
const { createApiClient } = require("dots-wrapper");
const { version } = require("dots-wrapper/package.json");

const { SIM_API, SIM_CONTROL, SIM_TOKEN } = process.env;
const client = createApiClient({ token: SIM_TOKEN, endpoint: `${SIM_API}/v2` });
const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILQ5QPZ1Wcpal8wJGNKl3Ve02Brlw/OxzZOw/ATYvquG dots";
const wish = { region: "fra1", size: "s-1vcpu-1gb", image: "debian-13-x64", tags: ["dots"] };
const made = {};

async function control(method, path, body) {
  const answer = await fetch(SIM_CONTROL + path, { method, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert(answer.ok, text);
  return text ? JSON.parse(text) : null;
}

async function until(what, look) {
  for (let looks = 0; looks < 200; looks += 1) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`waited in vain for ${what}`);
}

// All pages, two items each.
async function every(key, list, query = {}) {
  const items = [];
  for (let page = 1; ; page += 1) {
    const { data } = await list({ page, per_page: 2, ...query });
    items.push(...data[key]);
    if (!data.links?.pages?.next) {
      assert.equal(data.meta.total, items.length);
      return items;
    }
  }
}

async function act(call, more = {}) {
  const { data } = await call({ droplet_id: made.droplet, ...more });
  const done = async () => {
    const { data: polled } = await client.action.getAction({ action_id: data.action.id });
    return polled.action.status === "completed";
  };
  await until(data.action.type, done);
}

const droplet = async () => (await client.droplet.getDroplet({ droplet_id: made.droplet })).data.droplet;
const refused = (status, words) => ({ response }) => {
  assert.equal(response.status, status);
  assert.match(response.data.message, words);
  return true;
};

const scenes = {
  async accountAndWhatIsSold() {
    assert.equal((await client.account.getAccount()).data.account.status, "active");
    const slugs = (items) => items.map((item) => item.slug);
    assert(slugs(await every("regions", client.region.listRegions)).includes("fra1"));
    assert(slugs(await every("sizes", client.size.listSizes)).includes("s-1vcpu-1gb"));
    const images = await every("images", client.image.listImages, { type: "distribution" });
    assert(slugs(images).includes("debian-13-x64"));
  },
  async keys() {
    const { data } = await client.sshKey.createSshKey({ name: "dots", public_key: PUBLIC_KEY });
    made.key = data.ssh_key.id;
    await client.sshKey.updateSshKey({ ssh_key_id: data.ssh_key.fingerprint, name: "renamed" });
    const keys = await every("ssh_keys", client.sshKey.listSshKeys);
    assert(keys.some((key) => key.id === made.key && key.name === "renamed"));
  },
  async droplets() {
    const { data } = await client.droplet.createDroplet({ ...wish, name: "dots-1", ssh_keys: [made.key], ipv6: true });
    made.droplet = data.droplet.id;
    await client.droplet.createDroplets({ ...wish, names: ["dots-2", "dots-3"] });
    await until("the droplet", async () => (await droplet()).status === "active");
    assert.equal((await every("droplets", client.droplet.listDroplets)).length, 3);
    assert.equal((await every("droplets", client.droplet.listDroplets, { tag_name: "dots" })).length, 3);
  },
  async powerNameSizeAndImage() {
    const calls = client.droplet;
    await act(calls.powerOffDroplet);
    await act(calls.resizeDroplet, { size: "s-2vcpu-4gb", disk: true });
    await act(calls.powerOnDroplet);
    await act(calls.renameDroplet, { name: "dots-renamed" });
    for (const call of [calls.rebootDroplet, calls.powerCycleDroplet, calls.resetDropletPassword,
      calls.enableDropletBackups, calls.disableDropletBackups, calls.enableDropletIpv6,
      calls.enableDropletPrivateNetworking]) await act(call);
    await act(calls.rebuildDroplet, { image: "ubuntu-24-04-x64" });
    const { name, size_slug: size, image, status } = await droplet();
    assert.deepEqual([name, size, image.slug, status], ["dots-renamed", "s-2vcpu-4gb", "ubuntu-24-04-x64", "active"]);
    const actions = await every("actions", calls.listDropletActions, { droplet_id: made.droplet });
    assert.equal(actions.length, 13);
  },
  async snapshots() {
    await act(client.droplet.snapshotDroplet, { name: "dots-snapshot" });
    const [image] = await every("snapshots", client.droplet.listDropletSnapshots, { droplet_id: made.droplet });
    const all = await every("snapshots", client.snapshot.listSnapshots, { resource_type: "droplet" });
    const snapshots = all.filter((snapshot) => snapshot.name === image.name);
    assert.deepEqual(snapshots.map((snapshot) => snapshot.id), [String(image.id)]);
    await act(client.droplet.restoreDroplet, { image: image.id });
    await client.snapshot.deleteSnapshot({ snapshot_id: snapshots[0].id });
    await assert.rejects(client.snapshot.getSnapshot({ snapshot_id: snapshots[0].id }), refused(404, /could not be found/));
  },
  async tags() {
    const resources = [{ resource_id: String(made.droplet), resource_type: "droplet" }];
    await client.tag.createTag({ name: "Extra" });
    await client.tag.tagResources({ tag_name: "Extra", resources });
    assert((await droplet()).tags.includes("Extra"));
    await client.tag.untagResources({ tag_name: "Extra", resources });
    await client.tag.deleteTag({ tag_name: "Extra" });
    assert(!(await every("tags", client.tag.listTags)).some((tag) => tag.name === "Extra"));
  },
  async refusals() {
    await assert.rejects(client.droplet.getDroplet({ droplet_id: 1 }), refused(404, /could not be found/));
    await assert.rejects(client.droplet.createDroplet({ ...wish, name: "x", size: "huge" }), refused(422, /invalid size/));
    const stranger = createApiClient({ token: "wrong", endpoint: `${SIM_API}/v2` });
    await assert.rejects(stranger.account.getAccount(), refused(401, /authenticate/));
    const fault = { kind: "answer", point: "before-effect", status: 429, retry_after: "1" };
    await control("POST", "/faults", { match: { path: "/v2/account" }, times: 1, fault });
    await assert.rejects(client.account.getAccount(), refused(429, /limit/));
  },
  async theEnd() {
    await client.droplet.deleteDroplet({ droplet_id: made.droplet });
    await client.droplet.deleteDropletsByTag({ tag_name: "dots" });
    await until("the end", async () => (await every("droplets", client.droplet.listDroplets)).length === 0);
    await client.tag.deleteTag({ tag_name: "dots" });
    await client.sshKey.destroySshKey({ ssh_key_id: made.key });
  },
};

(async () => {
  let [held, broken] = [0, 0];
  for (const [name, scene] of Object.entries(scenes)) {
    await control("DELETE", "/faults");
    try {
      await scene();
      held += 1;
    } catch (error) {
      broken += 1;
      console.error(`dots-wrapper: ${name} broke`, error.response?.data ?? error);
    }
  }
  console.log(`dots-wrapper ${version}: ${held} passed, ${broken} failed`);
  process.exitCode = Number(broken > 0);
})();
