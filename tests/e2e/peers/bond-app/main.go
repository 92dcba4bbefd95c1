// An application on bond, as authors of NDK applications write one: it is told prefixes and shows where their routes lead,
// and what else the NDK tells it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nokia/srlinux-ndk-go/ndk"
	"github.com/openconfig/gnmic/pkg/api"
	"github.com/rs/zerolog"
	"github.com/srl-labs/bond"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	name      = "bond-app"
	root      = "/" + name
	socket    = "unix:///opt/srlinux/var/run/sr_sdk_service_manager:50053"
	commitEnd = ".commit.end"
	deleted   = "SDK_MGR_OPERATION_DELETE"
	// How often is looked whether there is something new to show.
	pace = 100 * time.Millisecond
)

// table is what was told of one kind.
type table struct {
	keys map[string]struct{}
	told uint32
	gone uint32
}

type destination struct {
	networkInstance string
	prefix          netip.Prefix
}

type app struct {
	agent  *bond.Agent
	logger *zerolog.Logger
	tables map[string]*table
	routes map[destination]uint64
	groups map[uint64][]string
	// configured are the network instances of prefixes, nil where nothing is configured.
	configured map[string]string
	// committed tells that a commit has ended, and there is configuration to go by.
	committed bool
	// release is what the switch says of itself, once it was asked.
	release string
	// shown is the state that was written, by path.
	shown map[string]string
	news  bool
}

func main() {
	logger := zerolog.New(os.Stdout).With().Timestamp().Logger()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	agent, errs := bond.NewAgent(name,
		bond.WithLogger(&logger),
		bond.WithContext(ctx, cancel),
		bond.WithAppRootPath(root),
		bond.WithStreamConfig(),
		bond.WithConfigAcknowledge(),
		bond.WithCaching(),
	)
	if len(errs) > 0 {
		logger.Fatal().Errs("errors", errs).Msg("no agent")
	}
	if err := agent.Start(); err != nil {
		logger.Fatal().Err(err).Msg("not started")
	}
	// bond names the caller in calls of its own only.
	named := metadata.AppendToOutgoingContext(ctx, "agent_name", name)
	for _, receive := range []func(context.Context){
		agent.ReceiveInterfaceNotifications,
		agent.ReceiveNetworkInstanceNotifications,
		agent.ReceiveLLDPNotifications,
		agent.ReceiveBfdNotifications,
		agent.ReceiveRouteNotifications,
		agent.ReceiveNexthopGroupNotifications,
		agent.ReceiveAppIdNotifications,
	} {
		go receive(named)
	}
	go watch(named, &logger)
	a := app{
		agent:  agent,
		logger: &logger,
		tables: map[string]*table{},
		routes: map[destination]uint64{},
		groups: map[uint64][]string{},
		shown:  map[string]string{},
	}
	a.run(ctx)
}

// watch ends the program once it is not registered any more. bond asks a stream that has ended for more, again and again.
func watch(ctx context.Context, logger *zerolog.Logger) {
	connection, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		logger.Fatal().Err(err).Msg("no client")
	}
	manager := ndk.NewSdkMgrServiceClient(connection)
	for {
		answer, err := manager.KeepAlive(ctx, &ndk.KeepAliveRequest{})
		if ctx.Err() != nil {
			return
		}
		if err != nil || answer.GetStatus() != ndk.SdkMgrStatus_SDK_MGR_STATUS_SUCCESS {
			logger.Fatal().Err(err).Msg("the NDK does not know this application any more")
		}
		time.Sleep(time.Second)
	}
}

func (a *app) run(ctx context.Context) {
	told := a.agent.Notifications
	ticks := time.NewTicker(pace)
	for {
		select {
		case n := <-told.Config:
			a.configure(n)
		case n := <-told.Interface:
			a.count("interface", n.GetKey(), n.GetOp())
		case n := <-told.NwInst:
			a.count("network-instance", n.GetKey(), n.GetOp())
		case n := <-told.Lldp:
			a.count("lldp-neighbor", n.GetKey(), n.GetOp())
		case n := <-told.Bfd:
			a.count("bfd-session", n.GetKey(), n.GetOp())
		case n := <-told.AppId:
			a.count("app-id", n.GetKey(), n.GetOp())
		case n := <-told.Route:
			a.count("route", n.GetKey(), n.GetOp())
			a.route(n)
		case n := <-told.NextHopGroup:
			a.counted("next-hop-group", strconv.FormatUint(n.GetKey(), 10), n.GetOp())
			a.group(n)
		case <-ticks.C:
			if a.news && a.committed {
				a.show()
				a.news = false
			}
		case <-ctx.Done():
			return
		}
	}
}

func gone(op ndk.SdkMgrOperation) bool {
	return op == ndk.SdkMgrOperation_SDK_MGR_OPERATION_DELETE
}

func (a *app) count(kind string, key proto.Message, op ndk.SdkMgrOperation) {
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(key)
	if err != nil {
		a.logger.Fatal().Err(err).Msg("a key that is none")
	}
	a.counted(kind, string(bytes), op)
}

func (a *app) counted(kind, key string, op ndk.SdkMgrOperation) {
	t := a.tables[kind]
	if t == nil {
		t = &table{keys: map[string]struct{}{}}
		a.tables[kind] = t
	}
	if gone(op) {
		delete(t.keys, key)
		t.gone++
	} else {
		t.keys[key] = struct{}{}
		t.told++
	}
	a.news = true
}

func (a *app) route(n *ndk.IpRouteNotification) {
	prefix := n.GetKey().GetIpPrefix()
	address, _ := netip.AddrFromSlice(prefix.GetIpAddr().GetIpAddress())
	key := destination{n.GetKey().GetNetworkInstanceName(), netip.PrefixFrom(address, int(prefix.GetPrefixLength()))}
	delete(a.routes, key)
	if !gone(n.GetOp()) {
		a.routes[key] = n.GetData().GetNexthopGroupId()
	}
}

func (a *app) group(n *ndk.NextHopGroupNotification) {
	delete(a.groups, n.GetKey())
	if gone(n.GetOp()) {
		return
	}
	addresses := []string{}
	for _, hop := range n.GetData().GetNexthops() {
		// Those of local and broadcast routes lead to no address.
		if address, ok := netip.AddrFromSlice(hop.GetIpNexthop().GetIpAddress()); ok {
			addresses = append(addresses, address.String())
		}
	}
	a.groups[n.GetKey()] = addresses
}

// configure takes what was committed, and answers at the end of a commit.
func (a *app) configure(n *bond.ConfigNotification) {
	if n.Path == commitEnd {
		a.acknowledge()
		a.committed, a.news = true, true
		return
	}
	a.committed = false
	switch n.PathWithoutKeys {
	case root:
		switch {
		case n.Op == deleted:
			a.configured = nil
		case a.configured == nil:
			a.configured = map[string]string{}
		}
	case root + "/prefix":
		if n.Op == deleted {
			delete(a.configured, n.Keys[0])
			return
		}
		var content struct {
			NetworkInstance string `json:"network-instance"`
		}
		// An entry with nothing but its key has no JSON at all.
		if n.Json != "" {
			if err := json.Unmarshal([]byte(n.Json), &content); err != nil {
				a.logger.Fatal().Err(err).Str("json", n.Json).Msg("configuration that is none")
			}
		}
		if a.configured == nil {
			a.configured = map[string]string{}
		}
		a.configured[n.Keys[0]] = content.NetworkInstance
	}
}

func (a *app) acknowledge() {
	var said []*bond.Acknowledgement
	for text := range a.configured {
		path := entry("prefix", "prefix", text)
		switch prefix, err := netip.ParsePrefix(text); {
		case err != nil:
			said = append(said, bond.NewAcknowledgement(path, bond.Error(text+" is no prefix: write it as 192.0.2.0/24")))
		case prefix != prefix.Masked():
			said = append(said, bond.NewAcknowledgement(path, bond.Warning("looks for "+prefix.Masked().String())))
		}
	}
	if err := a.agent.AcknowledgeConfig(said...); err != nil {
		a.logger.Fatal().Err(err).Msg("not acknowledged")
	}
}

// show writes what is new, and deletes what is no more.
func (a *app) show() {
	state := a.state()
	for path := range a.shown {
		if _, ok := state[path]; ok {
			continue
		}
		// With the root went all below it.
		if path == root || len(state) > 0 {
			if err := a.agent.DeleteState(path); err != nil {
				a.logger.Fatal().Err(err).Msg("not deleted")
			}
		}
		delete(a.shown, path)
	}
	// What holds others comes first.
	paths := make([]string, 0, len(state))
	for path := range state {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if a.shown[path] == state[path] {
			continue
		}
		if err := a.agent.UpdateState(path, state[path]); err != nil {
			a.logger.Fatal().Err(err).Msg("not written")
		}
		a.shown[path] = state[path]
	}
}

// state is all there is to show, by path.
func (a *app) state() map[string]string {
	state := map[string]string{}
	if a.configured == nil {
		return state
	}
	if a.release == "" {
		a.release = a.askRelease()
	}
	state[root] = text(map[string]any{"release": a.release})
	for kind, t := range a.tables {
		counts := map[string]any{"entries": len(t.keys), "told": t.told, "gone": t.gone}
		state[entry("table", "name", kind)] = text(counts)
	}
	for configured, networkInstance := range a.configured {
		prefix, err := netip.ParsePrefix(configured)
		if err != nil {
			continue
		}
		hops := append([]string{}, a.groups[a.routes[destination{networkInstance, prefix.Masked()}]]...)
		slices.Sort(hops)
		content := map[string]any{"network-instance": networkInstance, "next-hop": slices.Compact(hops)}
		state[entry("prefix", "prefix", configured)] = text(content)
	}
	return state
}

// askRelease asks over gNMI; bond ends the program where the switch does not answer.
func (a *app) askRelease() string {
	request, err := bond.NewGetRequest("/system/information/version", api.EncodingPROTO())
	if err != nil {
		a.logger.Fatal().Err(err).Msg("no request")
	}
	answer, err := a.agent.GetWithGNMI(request)
	if err != nil {
		a.logger.Fatal().Err(err).Msg("no answer")
	}
	return answer.GetNotification()[0].GetUpdate()[0].GetVal().GetStringVal()
}

func entry(list, key, value string) string {
	return fmt.Sprintf("%s/%s[%s=%s]", root, list, key, value)
}

func text(content map[string]any) string {
	var out strings.Builder
	if err := json.NewEncoder(&out).Encode(content); err != nil {
		panic(err)
	}
	return out.String()
}
