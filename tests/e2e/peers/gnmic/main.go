// gnmic's capabilities, get, set and subscribe, as its own command line has them.
//
// gnmic is released from a tree of three modules and takes two of them from beside itself, newer than published. With the
// published ones all of it builds but its collector daemon, so its commands are put together here without that.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/openconfig/gnmic/pkg/app"
	"github.com/openconfig/gnmic/pkg/cmd/capabilities"
	"github.com/openconfig/gnmic/pkg/cmd/get"
	"github.com/openconfig/gnmic/pkg/cmd/set"
	"github.com/openconfig/gnmic/pkg/cmd/subscribe"
	"github.com/spf13/cobra"
)

func main() {
	gnmic := app.New()
	gnmic.RootCmd = &cobra.Command{Use: "gnmic", PersistentPreRunE: gnmic.PreRunE}
	gnmic.InitGlobalFlags()
	gnmic.RootCmd.AddCommand(capabilities.New(gnmic), get.New(gnmic), set.New(gnmic), subscribe.New(gnmic))
	cobra.OnInitialize(func() {
		var missing *fs.PathError
		if err := gnmic.Config.Load(gnmic.Context()); err != nil && !errors.As(err, &missing) {
			fmt.Fprintf(os.Stderr, "the configuration cannot be read: %v\n", err)
		}
	})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		gnmic.Cfn()
		os.Exit(0)
	}()
	if gnmic.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
