//! The file by which kubectl and client libraries reach the cluster.

use std::io;
use std::path::Path;

use serde_json::json;

use super::Cluster;

impl Cluster {
    /// The text of a kubeconfig file for this cluster served at `server` (`http://127.0.0.1:8080`), with the token in
    /// force now. It is JSON, which is YAML.
    pub fn kubeconfig(&self, server: &str) -> String {
        let name = self.inner.lock().options.name.clone();
        let token = self.inner.faults.borrow().token.clone();
        let user = token.map_or_else(|| json!({}), |token| json!({"token": token}));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        });
        format!("{config:#}\n")
    }

    /// Writes that file, readable by its owner alone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, server: &str) -> io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(self.kubeconfig(server).as_bytes())
    }
}
