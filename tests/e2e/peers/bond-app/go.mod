// An application of ours on bond, the library for NDK applications in Go.
module k8s-services/peers/bond-app

go 1.23.0

require (
	github.com/nokia/srlinux-ndk-go v0.5.0
	github.com/openconfig/gnmic/pkg/api v0.1.9
	github.com/rs/zerolog v1.34.0
	github.com/srl-labs/bond v0.3.0
	google.golang.org/grpc v1.69.2
	google.golang.org/protobuf v1.36.2
)

require (
	cloud.google.com/go/compute/metadata v0.5.2 // indirect
	github.com/AlekSi/pointer v1.2.0 // indirect
	github.com/bufbuild/protocompile v0.14.1 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/jhump/protoreflect v1.17.0 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/openconfig/gnmi v0.14.1 // indirect
	github.com/openconfig/grpctunnel v0.1.0 // indirect
	golang.org/x/net v0.34.0 // indirect
	golang.org/x/oauth2 v0.25.0 // indirect
	golang.org/x/sys v0.29.0 // indirect
	golang.org/x/text v0.21.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250106144421-5f5ef82da422 // indirect
)
