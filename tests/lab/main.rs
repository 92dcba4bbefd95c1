//! Tests the agent as a separate process on emulated leaves of the labs: what an operator reads there, through
//! everything between a cluster and YANG state.
//!
//! `bench` starts labs and waits for what leaves must report; a test that fails keeps its lab's folder and prints the
//! path of the agent's log. `readme` compares every lab's README with what the lab prints, and plays its demo; the
//! files named after labs test what else is special in them. All others use the anycast lab with MetalLB.

mod adaptation;
mod alarms;
mod anycast_cilium;
mod arp_metallb;
mod bad_input;
mod bench;
mod causes;
mod clusters;
mod config;
mod containerlab;
mod doctor;
mod front_page;
mod gnmi_budget;
mod heard;
mod impact;
mod kubeadm_calico_metallb;
mod levers;
mod metallb_calico_ecmp;
mod nanog_multicluster;
mod ndk_server;
mod outcomes;
mod readme;
mod releases;
mod restarts;
mod rights;
mod speakers;
mod subscription;
mod verify;
mod writing;
