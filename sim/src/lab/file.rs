//! The lab file: describes the parts of a lab.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fabric::{FabricConfig, FabricError, known};

/// Name of the lab file in a lab's folder.
const LAB_FILE: &str = "lab.yaml";

/// Why a lab cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LabFileError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: io::Error,
    },
    /// A file is not YAML.
    #[error("{path} is not valid YAML")]
    Yaml {
        /// Path of the file.
        path: PathBuf,
        /// Why it cannot be parsed.
        #[source]
        source: serde_norway::Error,
    },
    /// A file does not have the expected content.
    #[error("the content of {path} is invalid")]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The fabric is inconsistent.
    #[error("the fabric in {path} cannot work")]
    Fabric {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FabricError,
    },
    /// A cluster is not in the fabric, or the other way round.
    #[error("{path}: cluster '{cluster}' must be listed both under 'clusters' and under 'fabric: clusters'")]
    Cluster {
        /// Path of the file.
        path: PathBuf,
        /// Name of the cluster.
        cluster: String,
    },
}

/// A lab, as described in its folder.
#[derive(Clone, Debug)]
pub struct LabFile {
    /// The folder. Files named in the lab file are relative to it.
    pub folder: PathBuf,
    /// Content of the lab file.
    pub content: LabContent,
}

/// Content of a lab file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LabContent {
    /// Name of the lab and of its run folder.
    pub name: String,
    /// Description in one line.
    pub description: String,
    /// Switches, network instances and the connections of nodes.
    pub fabric: FabricConfig,
    /// Kubernetes clusters by name.
    #[serde(default)]
    pub clusters: BTreeMap<String, LabCluster>,
    /// Applications of every leaf.
    #[serde(default)]
    pub apps: Vec<LabApp>,
    /// Commands that are committed on every leaf once its applications run, line by line. `${kubeconfig:<cluster>}`
    /// stands for the path of a cluster's kubeconfig file, `${api-address:<cluster>}` and `${api-port:<cluster>}` for
    /// the address of its API.
    #[serde(default)]
    pub config: String,
    /// Commands for single leaves by name, committed together with `config`.
    #[serde(default)]
    pub leaf_config: BTreeMap<String, String>,
}

/// A cluster of a lab.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LabCluster {
    /// Manifest files, applied in order.
    pub manifests: Vec<PathBuf>,
}

/// An application of a lab.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LabApp {
    /// The application's YAML file for app_mgr.
    pub definition: PathBuf,
    /// Folder of its YANG modules here, in place of the folders on a switch.
    pub yang: PathBuf,
    /// Folder of its CLI plugins here.
    #[serde(default)]
    pub cli_plugins: Option<PathBuf>,
    /// Arguments after those of its launch command. `${leaf}` stands for the leaf's name, `${ndk}` and `${gnmi}` for
    /// its sockets, `${folder}` for its folder, `${password-file}` for the file with its gNMI password.
    #[serde(default)]
    pub arguments: Vec<String>,
}

impl LabFile {
    /// Reads the lab in a folder.
    ///
    /// # Errors
    /// Returns an error if a file is missing, is not YAML, or describes something that cannot work.
    pub fn read(folder: &Path) -> Result<Self, LabFileError> {
        let path = folder.join(LAB_FILE);
        let content: LabContent = read_yaml(&path)?;
        content.fabric.validate().map_err(|source| LabFileError::Fabric { path: path.clone(), source })?;
        for leaf in content.leaf_config.keys() {
            known(&content.fabric.leaves, "leaf", leaf)
                .map_err(|source| LabFileError::Fabric { path: path.clone(), source })?;
        }
        let described = content.fabric.clusters.keys().filter(|cluster| !content.clusters.contains_key(*cluster));
        let placed = content.clusters.keys().filter(|cluster| !content.fabric.clusters.contains_key(*cluster));
        if let Some(cluster) = described.chain(placed).next() {
            return Err(LabFileError::Cluster { path, cluster: cluster.clone() });
        }
        Ok(Self { folder: folder.to_owned(), content })
    }

    /// Returns the text of a file of the lab.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn text(&self, file: &Path) -> Result<String, LabFileError> {
        read(&self.folder.join(file))
    }
}

/// Reads a YAML file as a value of any type. Enumerations are written as maps with one member.
///
/// # Errors
/// Returns an error if the file cannot be read, is not YAML, or describes something else.
pub(crate) fn read_yaml<T: DeserializeOwned>(path: &Path) -> Result<T, LabFileError> {
    let value: serde_json::Value =
        serde_norway::from_str(&read(path)?).map_err(|source| LabFileError::Yaml { path: path.to_owned(), source })?;
    serde_json::from_value(value).map_err(|source| LabFileError::Content { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, LabFileError> {
    std::fs::read_to_string(path).map_err(|source| LabFileError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(text: &str) -> Result<LabFile, LabFileError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(LAB_FILE), text).expect("written");
        LabFile::read(folder.path())
    }

    fn chain(error: &dyn std::error::Error) -> String {
        let cause = error.source().map(|source| format!(": {}", chain(source))).unwrap_or_default();
        format!("{error}{cause}")
    }

    #[test]
    fn every_lab_file_in_the_repository_parses() {
        let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab");
        for entry in std::fs::read_dir(labs).expect("the lab folder") {
            let folder = entry.expect("an entry").path();
            if folder.join(LAB_FILE).exists() {
                let lab = LabFile::read(&folder).unwrap_or_else(|error| panic!("{}", chain(&error)));
                for manifest in lab.content.clusters.values().flat_map(|cluster| &cluster.manifests) {
                    assert!(lab.text(manifest).is_ok(), "{} in {}", manifest.display(), folder.display());
                }
            }
        }
    }

    #[test]
    fn mistakes_in_a_lab_file_are_named() {
        let fabric = "fabric: { leaves: { leaf1: { system: [10.0.0.1] } } }";
        let unknown = lab(&format!("name: x\ndescription: y\n{fabric}\nnonsense: 1\n")).expect_err("refused");
        assert!(chain(&unknown).contains("unknown field `nonsense`"), "{}", chain(&unknown));
        let lost = lab(&format!("name: x\ndescription: y\n{fabric}\nclusters: {{ c1: {{ manifests: [] }} }}\n"));
        assert!(chain(&lost.expect_err("refused")).contains("cluster 'c1' must be listed both"));
        let bare = lab("name: x\ndescription: y\nfabric: { leaves: { leaf1: { system: ['2001:db8::1'] } } }\n");
        assert!(chain(&bare.expect_err("refused")).contains("leaf 'leaf1' has no IPv4 address"));
    }
}
