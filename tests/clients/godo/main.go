// Godo, DigitalOcean's own client for Go, as Debian ships it: godo.New(client, godo.SetBaseURL(URL)).
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/digitalocean/godo"
	"github.com/digitalocean/godo/util"
	"golang.org/x/oauth2"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHPJnWDRga0vm2RARxh1wlbyRKvGRoRrEV48ZSMNUaDV godo"

var (
	background = context.Background()
	client     = connect(os.Getenv("SIM_TOKEN"))
	droplet    *godo.Droplet
	key        *godo.Key
)

func connect(token string) *godo.Client {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
	client, err := godo.New(oauth2.NewClient(background, source), godo.SetBaseURL(os.Getenv("SIM_API")))
	ok(err)
	return client
}

func ok(err error) {
	if err != nil {
		panic(err)
	}
}

func same(what string, found, wanted interface{}) {
	if !reflect.DeepEqual(found, wanted) {
		panic(fmt.Errorf("%s: %v, not %v", what, found, wanted))
	}
}

func refused(what string, err error, status int, words string) {
	var response *godo.ErrorResponse
	if !errors.As(err, &response) {
		panic(fmt.Errorf("%s: %v is no refusal", what, err))
	}
	same(what, response.Response.StatusCode, status)
	if !strings.Contains(response.Message, words) {
		panic(fmt.Errorf("%s: %v", what, response))
	}
}

func until(what string, look func() bool) {
	for looks := 0; looks < 200; looks++ {
		if look() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	panic(errors.New("waited in vain for " + what))
}

// every names what is on all pages, two items each, as godo's documentation pages.
func every(page func(*godo.ListOptions) ([]string, *godo.Response, error)) []string {
	all, opt := []string{}, &godo.ListOptions{PerPage: 2}
	for {
		names, response, err := page(opt)
		ok(err)
		all = append(all, names...)
		if response.Links == nil || response.Links.IsLastPage() {
			same("total", response.Meta.Total, len(all))
			sort.Strings(all)
			return all
		}
		current, err := response.Links.CurrentPage()
		ok(err)
		opt.Page = current + 1
	}
}

func dropletNames(list func(*godo.ListOptions) ([]godo.Droplet, *godo.Response, error)) []string {
	return every(func(opt *godo.ListOptions) ([]string, *godo.Response, error) {
		droplets, response, err := list(opt)
		names := []string{}
		for _, droplet := range droplets {
			names = append(names, droplet.Name)
		}
		return names, response, err
	})
}

func listed(opt *godo.ListOptions) ([]godo.Droplet, *godo.Response, error) {
	return client.Droplets.List(background, opt)
}

func contains(what string, all []string, wanted string) {
	for _, one := range all {
		if one == wanted {
			return
		}
	}
	panic(fmt.Errorf("%s: %v without %s", what, all, wanted))
}

func wish(name, size string) *godo.DropletCreateRequest {
	image := godo.DropletCreateImage{Slug: "debian-13-x64"}
	return &godo.DropletCreateRequest{Name: name, Region: "fra1", Size: size, Image: image, Tags: []string{"godo"}}
}

func accountAndWhatIsSold() {
	account, _, err := client.Account.Get(background)
	ok(err)
	same("account", account.Status, "active")
	contains("regions", every(func(opt *godo.ListOptions) ([]string, *godo.Response, error) {
		regions, response, err := client.Regions.List(background, opt)
		slugs := []string{}
		for _, region := range regions {
			slugs = append(slugs, region.Slug)
		}
		return slugs, response, err
	}), "fra1")
	contains("sizes", every(func(opt *godo.ListOptions) ([]string, *godo.Response, error) {
		sizes, response, err := client.Sizes.List(background, opt)
		slugs := []string{}
		for _, size := range sizes {
			slugs = append(slugs, size.Slug)
		}
		return slugs, response, err
	}), "s-1vcpu-1gb")
	image, response, err := client.Images.GetBySlug(background, "debian-13-x64")
	ok(err)
	same("image", image.Distribution, "Debian")
	if response.Rate.Limit == 0 || response.Rate.Reset.Before(time.Now()) {
		panic(fmt.Errorf("rate: %v", response.Rate))
	}
}

func keys() {
	var err error
	key, _, err = client.Keys.Create(background, &godo.KeyCreateRequest{Name: "godo", PublicKey: publicKey})
	ok(err)
	renamed, _, err := client.Keys.UpdateByFingerprint(background, key.Fingerprint, &godo.KeyUpdateRequest{Name: "renamed"})
	ok(err)
	same("key", []interface{}{renamed.ID, renamed.Name}, []interface{}{key.ID, "renamed"})
}

func droplets() {
	request := wish("godo-1", "s-1vcpu-1gb")
	request.SSHKeys = []godo.DropletCreateSSHKey{{Fingerprint: key.Fingerprint}}
	request.IPv6, request.Backups = true, true
	created, response, err := client.Droplets.Create(background, request)
	ok(err)
	same("new", created.Status, "new")
	ok(util.WaitForActive(background, client, response.Links.Actions[0].HREF))
	droplet, _, err = client.Droplets.Get(background, created.ID)
	ok(err)
	same("active", droplet.Status, "active")
	for _, address := range []func() (string, error){droplet.PublicIPv4, droplet.PrivateIPv4, droplet.PublicIPv6} {
		found, err := address()
		ok(err)
		same("no address", found == "", false)
	}
	many := &godo.DropletMultiCreateRequest{Names: []string{"godo-2", "godo-3"}, Region: "fra1", Size: "s-1vcpu-1gb",
		Image: godo.DropletCreateImage{ID: 203555501}, Tags: []string{"godo"}}
	_, _, err = client.Droplets.CreateMultiple(background, many)
	ok(err)
	names := []string{"godo-1", "godo-2", "godo-3"}
	same("all pages", dropletNames(listed), names)
	same("by tag", dropletNames(func(opt *godo.ListOptions) ([]godo.Droplet, *godo.Response, error) {
		return client.Droplets.ListByTag(background, "godo", opt)
	}), names)
}

// act polls the action that a call started until it is done.
func act(action *godo.Action, _ *godo.Response, err error) {
	ok(err)
	until(action.Type, func() bool {
		polled, _, err := client.DropletActions.Get(background, droplet.ID, action.ID)
		ok(err)
		return polled.Status == godo.ActionCompleted
	})
	polled, _, err := client.Actions.Get(background, action.ID)
	ok(err)
	same("resource", []interface{}{polled.ResourceID, polled.CompletedAt == nil}, []interface{}{droplet.ID, false})
}

func powerNameSizeAndImage() {
	calls := client.DropletActions
	act(calls.Shutdown(background, droplet.ID))
	act(calls.Resize(background, droplet.ID, "s-2vcpu-4gb", true))
	act(calls.PowerOn(background, droplet.ID))
	act(calls.Rename(background, droplet.ID, "godo-renamed"))
	act(calls.Reboot(background, droplet.ID))
	act(calls.PowerCycle(background, droplet.ID))
	act(calls.PasswordReset(background, droplet.ID))
	act(calls.DisableBackups(background, droplet.ID))
	act(calls.EnableBackups(background, droplet.ID))
	act(calls.EnableIPv6(background, droplet.ID))
	act(calls.EnablePrivateNetworking(background, droplet.ID))
	act(calls.RebuildByImageSlug(background, droplet.ID, "ubuntu-24-04-x64"))
	_, _, err := calls.PowerOff(background, droplet.ID)
	ok(err)
	_, _, err = calls.PowerOn(background, droplet.ID)
	refused("a second action", err, http.StatusUnprocessableEntity, "pending event")
	until("off", func() bool {
		droplet, _, err = client.Droplets.Get(background, droplet.ID)
		ok(err)
		return droplet.Status == "off"
	})
	seen := []string{droplet.Name, droplet.SizeSlug, droplet.Image.Slug}
	same("in the end", seen, []string{"godo-renamed", "s-2vcpu-4gb", "ubuntu-24-04-x64"})
}

func snapshots() {
	act(client.DropletActions.Snapshot(background, droplet.ID, "godo-snapshot"))
	all, _, err := client.Snapshots.ListDroplet(background, nil)
	ok(err)
	own, _, err := client.Droplets.Snapshots(background, droplet.ID, nil)
	ok(err)
	same("ids", []string{all[0].ID, all[0].ResourceID}, []string{fmt.Sprint(own[0].ID), fmt.Sprint(droplet.ID)})
	act(client.DropletActions.Restore(background, droplet.ID, own[0].ID))
	_, err = client.Snapshots.Delete(background, all[0].ID)
	ok(err)
	_, _, err = client.Snapshots.Get(background, all[0].ID)
	refused("a deleted snapshot", err, http.StatusNotFound, "could not be found")
}

func tags() {
	resources := []godo.Resource{{ID: fmt.Sprint(droplet.ID), Type: godo.DropletResourceType}}
	_, _, err := client.Tags.Create(background, &godo.TagCreateRequest{Name: "Extra"})
	ok(err)
	_, err = client.Tags.TagResources(background, "Extra", &godo.TagResourcesRequest{Resources: resources})
	ok(err)
	tag, _, err := client.Tags.Get(background, "Extra")
	ok(err)
	same("carriers", tag.Resources.Droplets.Count, 1)
	_, err = client.Tags.UntagResources(background, "Extra", &godo.UntagResourcesRequest{Resources: resources})
	ok(err)
	_, err = client.Tags.Delete(background, "Extra")
	ok(err)
}

func refusals() {
	_, _, err := client.Droplets.Get(background, 1)
	refused("an unknown droplet", err, http.StatusNotFound, "could not be found")
	_, _, err = client.Droplets.Create(background, wish("under_score", "s-1vcpu-1gb"))
	refused("a bad name", err, http.StatusUnprocessableEntity, "hostname")
	_, _, err = connect("wrong").Account.Get(background)
	refused("a wrong token", err, http.StatusUnauthorized, "authenticate")
	fault := `{"match":{"path":"/v2/account"},"times":1,"fault":{"kind":"answer","point":"before-effect","status":429}}`
	_, err = http.Post(os.Getenv("SIM_CONTROL")+"/faults", "application/json", strings.NewReader(fault))
	ok(err)
	_, response, err := client.Account.Get(background)
	refused("a 429", err, http.StatusTooManyRequests, "limit")
	same("remaining", response.Rate.Remaining, 0)
}

func theEnd() {
	_, err := client.Droplets.Delete(background, droplet.ID)
	ok(err)
	_, err = client.Droplets.DeleteByTag(background, "godo")
	ok(err)
	until("the end", func() bool { return len(dropletNames(listed)) == 0 })
	_, err = client.Tags.Delete(background, "godo")
	ok(err)
	_, err = client.Keys.DeleteByID(background, key.ID)
	ok(err)
}

func holds(name string, scene func()) (held bool) {
	defer func() {
		if broke := recover(); broke != nil {
			fmt.Fprintf(os.Stderr, "godo: %s broke: %v\n", name, broke)
			held = false
		}
	}()
	scene()
	return true
}

func main() {
	held, broken := 0, 0
	for _, scene := range []struct {
		name string
		play func()
	}{
		{"the account and what is sold", accountAndWhatIsSold}, {"keys", keys}, {"droplets", droplets},
		{"power, name, size and image", powerNameSizeAndImage}, {"snapshots", snapshots}, {"tags", tags},
		{"refusals", refusals}, {"the end", theEnd},
	} {
		if holds(scene.name, scene.play) {
			held++
		} else {
			broken++
		}
	}
	fmt.Printf("%s: %d passed, %d failed\n", strings.Fields(client.UserAgent)[0], held, broken)
	if broken > 0 {
		os.Exit(1)
	}
}
