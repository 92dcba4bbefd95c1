//! Checks the folders that the agent reads and writes, and their modes.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use super::Check;
use crate::files::FileError;
use crate::state_file;

/// Checks the folder of credentials and that of the state file.
pub(super) fn examine(credentials: &Path, state_file: &Path) -> Vec<Check> {
    vec![secrets(credentials), memory(state_file)]
}

fn secrets(folder: &Path) -> Check {
    const CHECK: &str = "credentials folder";
    let shown = folder.display();
    let Some(metadata) = metadata(folder) else {
        let make = format!("sudo install -d -o root -g srlinux -m 0750 {shown}");
        return Check::failure(CHECK, format!("{shown} is not a folder that can be read")).remedy([make]);
    };
    let mode = metadata.mode() & 0o7777;
    let words = format!("{shown} (mode {mode:04o})");
    if mode & 0o022 != 0 {
        return Check::failure(CHECK, format!("{words} can be written by others"))
            .remedy([format!("sudo chmod go-w {shown}")]);
    }
    if access(folder, Access::READ_OK | Access::EXEC_OK).is_err() {
        return Check::failure(CHECK, format!("{words} cannot be entered by the agent's user"))
            .remedy([format!("sudo chgrp srlinux {shown}"), format!("sudo chmod 0750 {shown}")]);
    }
    if mode & 0o007 != 0 {
        return Check::warning(CHECK, format!("{words} can be read by everyone"))
            .remedy([format!("sudo chmod o= {shown}")]);
    }
    Check::ok(CHECK, words)
}

fn memory(file: &Path) -> Check {
    const CHECK: &str = "state file";
    let shown = file.display();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let make = [format!("sudo install -d -o srlinux -g srlinux -m 0750 {}", folder.display())];
    if metadata(folder).is_none() {
        let words = format!("{} is not there: alarms and attachments are forgotten at each restart", folder.display());
        return Check::warning(CHECK, words).remedy(make);
    }
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let words =
            format!("{} cannot be written by the agent's user: alarms are forgotten at each restart", folder.display());
        return Check::warning(CHECK, words).remedy(make);
    }
    if let Err(error @ (FileError::FolderOwner { .. } | FileError::FolderWritable { .. })) = state_file::folder_of(file)
    {
        let words = format!("{error}; until then alarms are forgotten at each restart");
        return Check::warning(CHECK, words).remedy(error.remedy());
    }
    match fs::metadata(file) {
        Ok(metadata) => Check::ok(CHECK, format!("{shown}, {} bytes", metadata.size())),
        Err(_) => Check::ok(CHECK, format!("{shown} is not there yet: it is written with the first alarm or neighbor")),
    }
}

fn metadata(folder: &Path) -> Option<Metadata> {
    fs::metadata(folder).ok().filter(Metadata::is_dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_folder_others_can_read_or_write_is_reported_with_the_chmod() {
        let folder = tempfile::tempdir().expect("a folder");
        for (mode, outcome, command) in [
            (0o750, Outcome::Ok, None),
            (0o755, Outcome::Warning, Some("sudo chmod o= ")),
            (0o770, Outcome::Failure, Some("sudo chmod go-w ")),
        ] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("permissions");
            let check = secrets(folder.path());
            assert_eq!(check.outcome, outcome, "{mode:o}");
            assert_eq!(
                check.remedy.first().map(String::as_str).is_some_and(|line| line.starts_with(command.unwrap_or("-"))),
                command.is_some()
            );
        }
        let nowhere = secrets(&folder.path().join("nowhere"));
        assert!(nowhere.outcome == Outcome::Failure && nowhere.remedy[0].contains("install -d"));
    }

    #[test]
    fn a_missing_folder_of_the_state_file_is_only_a_warning() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(memory(&folder.path().join("state.json")).outcome, Outcome::Ok);
        let check = memory(&folder.path().join("nowhere/state.json"));
        assert!(check.outcome == Outcome::Warning && check.remedy[0].contains("-m 0750"), "{check:?}");
    }

    #[test]
    fn a_folder_of_the_state_file_that_others_can_write_is_reported_with_the_chmod() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
        let check = memory(&folder.path().join("state.json"));
        assert!(check.outcome == Outcome::Warning && check.remedy[0].starts_with("sudo chmod go-w "), "{check:?}");
    }
}
