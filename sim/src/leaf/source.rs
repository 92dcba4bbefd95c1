//! Network instances and interfaces whose tables do not come from the fabric model.

use std::collections::BTreeMap;

use super::Leaf;
use crate::tables::{Interface, NetworkInstance};

/// A source of one network instance of a leaf. Until it is dropped, what it shows replaces the network instance of that
/// name in the leaf's tables.
pub struct Source {
    leaf: Leaf,
    name: String,
}

/// A source of interfaces of a leaf. Until it is dropped, they replace the interfaces of the same names in the leaf's
/// tables.
pub struct InterfaceSource {
    leaf: Leaf,
    shown: BTreeMap<String, Interface>,
}

impl InterfaceSource {
    pub(super) fn new(leaf: Leaf) -> Self {
        Self { leaf, shown: BTreeMap::new() }
    }

    /// Shows these interfaces in place of those shown before.
    pub fn show(&mut self, interfaces: BTreeMap<String, Interface>) {
        if interfaces == self.shown {
            return;
        }
        let mut control = self.leaf.shared.control();
        self.shown.keys().for_each(|name| _ = control.sourced_interfaces.remove(name));
        control.sourced_interfaces.extend(interfaces.clone());
        self.leaf.shared.show(&mut control);
        drop(control);
        self.shown = interfaces;
    }
}

impl Drop for InterfaceSource {
    fn drop(&mut self) {
        self.show(BTreeMap::new());
    }
}

impl Source {
    pub(super) fn new(leaf: Leaf, name: String) -> Self {
        Self { leaf, name }
    }

    /// Shows this network instance; `None` shows the one in the leaf's tables again.
    pub fn show(&self, instance: Option<NetworkInstance>) {
        let mut control = self.leaf.shared.control();
        match instance {
            Some(instance) => control.sourced.insert(self.name.clone(), instance),
            None => control.sourced.remove(&self.name),
        };
        self.leaf.shared.show(&mut control);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.show(None);
    }
}
