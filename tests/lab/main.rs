//! The agent as a process of its own, on emulated leaves of the labs: what an operator reads there, through
//! everything between a cluster and YANG state.
//!
//! `bench` starts labs and waits for what leaves should say; a test that fails keeps its lab's folder and names the
//! agent's log. `readme` holds every lab's README against what the lab prints, and plays its demo; the files named as labs
//! hold what else their situation is known for. Everything else is about the anycast lab with MetalLB.

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
