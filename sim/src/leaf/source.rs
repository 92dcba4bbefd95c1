//! Network instances whose tables do not come from the fabric model.

use super::Leaf;
use crate::tables::NetworkInstance;

/// A source of one network instance of a leaf. What it shows stands in place of what the leaf's tables hold under that
/// name, whatever they are set to, until it is dropped.
pub struct Source {
    leaf: Leaf,
    name: String,
}

impl Source {
    pub(super) fn new(leaf: Leaf, name: String) -> Self {
        Self { leaf, name }
    }

    /// Shows this from now on; with none, what the leaf's tables hold.
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
