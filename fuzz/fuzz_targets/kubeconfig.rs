#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    srl_k8s_services::fuzz::kubeconfig(bytes);
});
