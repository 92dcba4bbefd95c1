//! Writes objects: admits them, stores them, and queues what follows for the controllers.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::error::ApiError;
use super::json::{default, int, items, remove, set, text};
use super::notice::{Change as NoticeChange, Notice};
use super::resource::{Resource, ResourceId};
use super::state::{Part, State, now};
use super::store::{ChangeKind, Key, Stored};
use super::{admission, queue};

impl State {
    /// Creates what every cluster has from the start.
    pub(crate) fn furnish(&mut self) {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            self.make_namespace(name);
        }
        let services = self.kind("Service");
        let ports = json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]);
        let kubernetes = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {"clusterIP": self.options.service_network.hosts().next(), "ports": ports, "type": "ClusterIP"},
        });
        // A cluster without room for its own service still works: the service only completes `kubectl get svc`.
        let _ = self.create(services, "default", kubernetes, Part::Whole, false);
    }

    /// Creates a namespace unless it exists.
    pub(crate) fn make_namespace(&mut self, name: &str) {
        let namespaces = self.kind("Namespace");
        if name.is_empty() || self.get(namespaces, &Key::new("", name)).is_some() {
            return;
        }
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        // A name that is not valid for a namespace is refused again, with the reason, when the object is created.
        let _ = self.create(namespaces, "", namespace, Part::Whole, false);
    }

    /// Creates an object.
    pub(crate) fn create(
        &mut self,
        id: ResourceId,
        namespace: &str,
        mut object: Value,
        part: Part,
        dry_run: bool,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id).clone();
        let namespace = self.place(&resource, namespace, &mut object)?;
        let prefix = text(&object, "/metadata/generateName").to_owned();
        if text(&object, "/metadata/name").is_empty() && !prefix.is_empty() {
            let name = format!("{prefix}{}", self.suffix());
            set(&mut object, &["metadata", "name"], name);
        }
        let key = Key::new(&namespace, text(&object, "/metadata/name"));
        if !prefix.is_empty() {
            admission::check_prefix(&resource, &prefix, &key.name)?;
        }
        admission::check_name(&resource, &key.name)?;
        if self.get(id, &key).is_some() {
            return Err(ApiError::AlreadyExists { resource: resource.qualified(), name: key.name.to_string() });
        }
        if part != Part::Whole && !resource.keeps_status_on_create() {
            remove(&mut object, "", "status");
        }
        let (uid, now) = (self.uid(), now());
        default(&mut object, &["metadata", "uid"], uid);
        default(&mut object, &["metadata", "creationTimestamp"], now);
        if resource.has_generation() {
            default(&mut object, &["metadata", "generation"], 1);
        }
        for transient in ["managedFields", "resourceVersion", "selfLink"] {
            remove(&mut object, "/metadata", transient);
        }
        admission::prepare(self, &resource, &mut object, None, part)?;
        if dry_run {
            return Ok(Arc::new(Stored::new(object, self.version)));
        }
        Ok(self.commit(id, key, ChangeKind::Added, object))
    }

    /// Returns the namespace of an object, and writes it into the object.
    fn place(&self, resource: &Resource, asked: &str, object: &mut Value) -> Result<String, ApiError> {
        if !object.is_object() || !object.get("metadata").is_none_or(Value::is_object) {
            return Err(ApiError::BadRequest("the object has no metadata".to_owned()));
        }
        if !resource.namespaced {
            remove(object, "/metadata", "namespace");
            return Ok(String::new());
        }
        let own = text(object, "/metadata/namespace");
        if !asked.is_empty() && !own.is_empty() && asked != own {
            return Err(ApiError::BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
            ));
        }
        let name = [asked, own, "default"].into_iter().find(|name| !name.is_empty()).unwrap_or("default").to_owned();
        if self.get(self.kind("Namespace"), &Key::new("", &name)).is_none() {
            return Err(ApiError::NotFound { resource: "namespaces".to_owned(), name });
        }
        set(object, &["metadata", "namespace"], name.as_str());
        Ok(name)
    }

    /// Writes a part of an existing object. If nothing differs, nothing changes.
    pub(crate) fn update(
        &mut self,
        id: ResourceId,
        key: &Key,
        mut object: Value,
        part: Part,
        dry_run: bool,
    ) -> Result<Arc<Stored>, ApiError> {
        let current = Arc::clone(self.expect(id, key)?);
        let resource = self.resource(id).clone();
        if !object.is_object() || !object.get("metadata").is_none_or(Value::is_object) {
            return Err(ApiError::BadRequest("the object has no metadata".to_owned()));
        }
        let old = &*current.value;
        let stale = |pointer| {
            let sent = text(&object, pointer);
            !sent.is_empty() && sent != text(old, pointer)
        };
        if stale("/metadata/resourceVersion") || stale("/metadata/uid") {
            return Err(ApiError::Conflict { resource: resource.qualified(), name: key.name.to_string() });
        }
        if part == Part::Status {
            let mut whole = old.clone();
            match object.get_mut("status").map(Value::take) {
                Some(status) => whole["status"] = status,
                None => remove(&mut whole, "", "status"),
            }
            if let Some(sent) = object.pointer("/metadata/resourceVersion") {
                set(&mut whole, &["metadata", "resourceVersion"], sent.clone());
            }
            object = whole;
        } else if part == Part::Main && resource.status {
            remove(&mut object, "", "status");
            if let Some(status) = old.get("status") {
                object["status"] = status.clone();
            }
        }
        self.keep_identity(old, &mut object);
        admission::prepare(self, &resource, &mut object, Some(old), part)?;
        if object == *old {
            return Ok(current);
        }
        if resource.has_generation() && differs_in_spec(old, &object) {
            let generation = int(old, "/metadata/generation").unwrap_or(1);
            set(&mut object, &["metadata", "generation"], generation + 1);
        }
        if dry_run {
            return Ok(Arc::new(Stored::new(object, current.version)));
        }
        let leaving = !text(&object, "/metadata/deletionTimestamp").is_empty();
        if leaving && items(&object, "/metadata/finalizers").is_empty() && !admission::lingers(&resource) {
            return Ok(self.commit(id, key.clone(), ChangeKind::Deleted, object));
        }
        Ok(self.commit(id, key.clone(), ChangeKind::Modified, object))
    }

    /// Restores the members of metadata that no client can change.
    fn keep_identity(&self, old: &Value, object: &mut Value) {
        remove(object, "/metadata", "managedFields");
        let fixed = [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        for member in fixed {
            match old["metadata"].get(member) {
                Some(value) => set(object, &["metadata", member], value.clone()),
                None => remove(object, "/metadata", member),
            }
        }
        for member in ["kind", "apiVersion"] {
            object[member] = old[member].clone();
        }
    }

    /// Reads an object, changes it and writes it as a whole, for controllers and the Rust API.
    pub(crate) fn edit(
        &mut self,
        id: ResourceId,
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Stored>, ApiError> {
        let mut object = (*self.expect(id, key)?.value).clone();
        change(&mut object);
        self.update(id, key, object, Part::Whole, false)
    }

    /// Deletes an object. An object with finalizers is only marked until these are gone. Returns whether it is gone.
    pub(crate) fn delete(&mut self, id: ResourceId, key: &Key) -> Result<(Arc<Stored>, bool), ApiError> {
        let current = Arc::clone(self.expect(id, key)?);
        if items(&current.value, "/metadata/finalizers").is_empty() {
            let last = self.commit(id, key.clone(), ChangeKind::Deleted, (*current.value).clone());
            return Ok((last, true));
        }
        if !text(&current.value, "/metadata/deletionTimestamp").is_empty() {
            return Ok((current, false));
        }
        let marked = self.mark_deleted(id, key, &current.value, 0);
        Ok((marked, false))
    }

    /// Sets the deletion timestamp, as a graceful deletion does.
    pub(crate) fn mark_deleted(&mut self, id: ResourceId, key: &Key, current: &Value, grace: i64) -> Arc<Stored> {
        let mut object = current.clone();
        set(&mut object, &["metadata", "deletionTimestamp"], now());
        set(&mut object, &["metadata", "deletionGracePeriodSeconds"], grace);
        self.commit(id, key.clone(), ChangeKind::Modified, object)
    }

    /// Removes an object if it exists; used by controllers.
    pub(crate) fn discard(&mut self, id: ResourceId, key: &Key) {
        if let Some(current) = self.get(id, key).map(Arc::clone) {
            self.commit(id, key.clone(), ChangeKind::Deleted, (*current.value).clone());
        }
    }

    /// Sends `body` in place of the object's JSON from now on, as a broken or hostile server would.
    pub(crate) fn replace_body(&mut self, id: ResourceId, key: &Key, body: Bytes) -> Result<(), ApiError> {
        let current = Arc::clone(self.expect(id, key)?);
        let mut object = (*current.value).clone();
        self.version += 1;
        set(&mut object, &["metadata", "resourceVersion"], self.version.to_string());
        let stored = Arc::new(Stored::with_body(object, self.version, body).born_at(current.born));
        self.collection_mut(id).record(ChangeKind::Modified, key.clone(), stored);
        Ok(())
    }

    fn commit(&mut self, id: ResourceId, key: Key, kind: ChangeKind, mut object: Value) -> Arc<Stored> {
        self.version += 1;
        set(&mut object, &["metadata", "resourceVersion"], self.version.to_string());
        let previous = self.get(id, &key).map(Arc::clone);
        let born = previous.as_ref().map_or(self.version, |stored| stored.born);
        let stored = Arc::new(Stored::new(object, self.version).born_at(born));
        self.collection_mut(id).record(kind, key.clone(), Arc::clone(&stored));
        let resource = self.registry.get(id);
        let gone = kind == ChangeKind::Deleted;
        self.notices.push(Notice {
            group: Arc::clone(&resource.group),
            kind: Arc::clone(&resource.kind),
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            change: if gone { NoticeChange::Deleted } else { NoticeChange::Changed },
        });
        let kind_name = Arc::clone(&resource.kind);
        let before = previous.as_ref().map(|stored| &*stored.value);
        let after = (!gone).then_some(&*stored.value);
        self.index(&kind_name, &key, before, after);
        queue::enqueue(self, &kind_name, &key, before, after);
        stored
    }
}

/// Returns whether anything except metadata and status differs.
fn differs_in_spec(old: &Value, new: &Value) -> bool {
    let strip = |object: &Value| {
        let mut object = object.clone();
        remove(&mut object, "", "status");
        remove(&mut object, "", "metadata");
        object
    };
    strip(old) != strip(new)
}
