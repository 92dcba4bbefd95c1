//! Writes the kubeconfig file for kubectl and client libraries.

use std::io;
use std::path::Path;

use serde_json::json;

use super::Cluster;

impl Cluster {
    /// Returns the text of a kubeconfig file for this cluster, served at `server` (`http://127.0.0.1:8080`), with the
    /// token that is required now. The text is JSON, which is valid YAML.
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

    /// Writes the kubeconfig file, readable by its owner only.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, server: &str) -> io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(self.kubeconfig(server).as_bytes())
    }
}
