//! Reads an application's YAML file as app_mgr does.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::ndk::{AppInfo, ConfigFormat};

/// Why an application's YAML file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Why the file cannot be read.
        #[source]
        source: io::Error,
    },
    /// The file is not in the format of app_mgr.
    #[error("{path} is not an application definition")]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// Why the file cannot be parsed.
        #[source]
        source: serde_norway::Error,
    },
}

/// One application: the value of a top-level key of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AppSpec {
    /// Name of the application: the key in the file.
    #[serde(skip)]
    pub name: String,
    /// Folder in which the launch command is looked up.
    pub path: PathBuf,
    /// Command that starts the application; `./<name>` if absent.
    pub launch_command: Option<String>,
    /// Command by which the process is recognized; the launch command if absent.
    pub search_command: Option<String>,
    /// Command that prints the version.
    pub version_command: Option<String>,
    /// The application is never started.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub never_start: bool,
    /// The application is not restarted after it ended.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub never_restart: bool,
    /// The application is not shown in state.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub never_show: bool,
    /// Format in which configuration is delivered to the application.
    #[serde(default)]
    pub config_delivery_format: DeliveryFormat,
    /// The application is started only once it has configuration.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub wait_for_config: bool,
    /// The application is started only by an operator.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub launch_by_request: bool,
    /// Ignored here: there is one user.
    pub run_as_user: Option<String>,
    /// Ignored here: applications start together.
    #[serde(default = "default_start_order")]
    pub start_order: u32,
    /// Ignored here: there are no network namespaces.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub launch_in_net_namespace: bool,
    /// Ignored here.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub oob_init: bool,
    /// Number of failures within the window that leads to `failure_action`; 0 means never.
    #[serde(default = "default_failure_threshold")]
    pub failure_threshold: u8,
    /// Window in which failures are counted, in seconds.
    #[serde(default = "default_failure_window")]
    pub failure_window: u32,
    /// Action taken when the threshold is reached.
    #[serde(default)]
    pub failure_action: FailureAction,
    /// Author of the application.
    #[serde(default = "default_author")]
    pub author: String,
    /// Operations refused to operators: `start`, `stop`, `restart`, `quit`, `kill`.
    #[serde(default)]
    pub restricted_operations: Vec<String>,
    /// Ignored here.
    #[serde(default)]
    pub launch_restrictions: Vec<String>,
    /// Ignored here: the process keeps the capabilities it inherits.
    #[serde(default)]
    pub capability_bounding_set: Vec<String>,
    /// YANG modules of the application.
    #[serde(default)]
    pub yang_modules: YangModules,
}

/// YANG modules of an application.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct YangModules {
    /// Modules it owns.
    #[serde(default)]
    pub names: Vec<String>,
    /// Features enabled in these modules.
    #[serde(default)]
    pub enabled_features: Vec<String>,
    /// Ignored here.
    #[serde(default)]
    pub validation_plugins: Vec<String>,
    /// Folders in which the modules and their imports are looked up.
    #[serde(default)]
    pub source_directories: Vec<PathBuf>,
    /// Modules the application uses without owning them.
    #[serde(default)]
    pub not_owned_names: Vec<String>,
}

/// `config-delivery-format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryFormat {
    /// `proto-json`
    #[default]
    ProtoJson,
    /// `json`
    Json,
    /// `binary-tlvs`
    BinaryTlvs,
}

/// `failure-action`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureAction {
    /// The switch restarts. Here the application stays down instead.
    #[default]
    Reboot,
    /// The application is restarted after this time.
    Wait(Duration),
    /// The application stays down.
    WaitForever,
}

impl FromStr for FailureAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("wait=")) {
            ("reboot", _) => Ok(Self::Reboot),
            (_, Some("forever")) => Ok(Self::WaitForever),
            (_, Some(seconds)) => {
                let seconds = seconds.parse().map_err(|_| format!("'{seconds}' is not a number of seconds"))?;
                Ok(Self::Wait(Duration::from_secs(seconds)))
            }
            _ => Err(format!("invalid failure-action '{text}': expected reboot, wait=<seconds> or wait=forever")),
        }
    }
}

impl std::fmt::Display for FailureAction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reboot => formatter.write_str("reboot"),
            Self::Wait(wait) => write!(formatter, "wait={}", wait.as_secs()),
            Self::WaitForever => formatter.write_str("wait=forever"),
        }
    }
}

impl<'de> Deserialize<'de> for FailureAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Deserializes a Boolean; also accepts the words of YAML 1.1, which the files of applications use.
fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Boolean(bool),
        Text(String),
    }
    match Word::deserialize(deserializer)? {
        Word::Boolean(value) => Ok(value),
        Word::Text(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(true),
            "no" | "false" | "off" => Ok(false),
            _ => Err(serde::de::Error::custom(format!("'{text}' is neither Yes nor No"))),
        },
    }
}

fn default_start_order() -> u32 {
    200
}

fn default_failure_threshold() -> u8 {
    3
}

fn default_failure_window() -> u32 {
    300
}

fn default_author() -> String {
    "Nokia".to_owned()
}

impl AppSpec {
    /// Reads every application of a YAML file, in the order of the file.
    ///
    /// # Errors
    /// [`SpecError`] if the file cannot be read or is not in the format of app_mgr.
    pub fn read(path: &Path) -> Result<Vec<Self>, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|source| SpecError::Parse { path: path.to_owned(), source })
    }

    fn parse(text: &str) -> Result<Vec<Self>, serde_norway::Error> {
        let file: serde_norway::Mapping = serde_norway::from_str(text)?;
        let apps = file.into_iter().map(|(name, body)| {
            let name: String = serde_norway::from_value(name)?;
            Ok(Self { name, ..serde_norway::from_value(body)? })
        });
        apps.collect()
    }

    /// Returns the launch command as written, or its default.
    pub fn launch_command(&self) -> String {
        self.launch_command.clone().unwrap_or_else(|| format!("./{}", self.name))
    }

    /// Returns what the NDK needs to know about the application.
    pub fn info(&self) -> AppInfo {
        AppInfo {
            name: self.name.clone(),
            author: self.author.clone(),
            version: String::new(),
            config_format: match self.config_delivery_format {
                DeliveryFormat::ProtoJson => ConfigFormat::ProtoJson,
                DeliveryFormat::Json => ConfigFormat::Json,
                DeliveryFormat::BinaryTlvs => ConfigFormat::BinaryTlvs,
            },
            modules: self.yang_modules.names.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_yaml_1_1_booleans_and_defaults_is_read() {
        let apps = AppSpec::parse(
            "greeter:\n  path: /usr/local/bin\n  wait-for-config: Yes\n  failure-action: wait=10\n  \
             config-delivery-format: json\n  yang-modules:\n    names: [greeter]\n    source-directories:\n      \
             - /opt/greeter/yang\n",
        )
        .expect("the file is well-formed");
        let app = &apps[0];
        assert_eq!(app.name, "greeter");
        assert!(app.wait_for_config);
        assert!(!app.never_start);
        assert_eq!(app.failure_action, FailureAction::Wait(Duration::from_secs(10)));
        assert_eq!(app.failure_threshold, 3);
        assert_eq!(app.failure_window, 300);
        assert_eq!(app.launch_command(), "./greeter");
        assert_eq!(app.info().config_format, ConfigFormat::Json);
        assert_eq!(app.info().modules, ["greeter"]);
    }

    #[test]
    fn configuration_is_delivered_as_proto_json_by_default() {
        let apps = AppSpec::parse("a:\n  path: /bin\n").expect("the file is well-formed");
        assert_eq!(apps[0].info().config_format, ConfigFormat::ProtoJson);
        assert_eq!(apps[0].failure_action, FailureAction::Reboot);
    }

    #[test]
    fn unknown_keys_and_invalid_actions_are_named_in_the_error() {
        let error = AppSpec::parse("a:\n  path: /bin\n  lunch-command: x\n").expect_err("unknown key");
        assert!(error.to_string().contains("lunch-command"), "{error}");
        let error = AppSpec::parse("a:\n  path: /bin\n  failure-action: wait=soon\n").expect_err("wrong action");
        assert!(error.to_string().contains("soon"), "{error}");
    }
}
