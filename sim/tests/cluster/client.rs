#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn scratch() {
    let c = srl_sim::cluster::Cluster::new();
    c.load(crate::support::LAB).unwrap();
    let s = crate::support::serve(&c).await;
    c.write_kubeconfig(std::path::Path::new("/tmp/kc-scratch"), &s.url()).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(25)).await;
}
