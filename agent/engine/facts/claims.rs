//! Maps each VIP to the services that claim it, ordered by address, so that the VIPs in a prefix form a range.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use ipnet::IpNet;

use super::ids::ServiceId;

/// Services by VIP, over all clusters.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    v4: BTreeMap<u32, Vec<ServiceId>>,
    v6: BTreeMap<u128, Vec<ServiceId>>,
}

impl Claims {
    pub(crate) fn add(&mut self, vip: IpAddr, service: ServiceId) {
        match vip {
            IpAddr::V4(vip) => self.v4.entry(vip.to_bits()).or_default().push(service),
            IpAddr::V6(vip) => self.v6.entry(vip.to_bits()).or_default().push(service),
        }
    }

    pub(crate) fn remove(&mut self, vip: IpAddr, service: ServiceId) {
        fn take<K: Ord>(claims: &mut BTreeMap<K, Vec<ServiceId>>, key: &K, service: ServiceId) {
            if let Some(services) = claims.get_mut(key) {
                services.retain(|other| *other != service);
                if services.is_empty() {
                    claims.remove(key);
                }
            }
        }
        match vip {
            IpAddr::V4(vip) => take(&mut self.v4, &vip.to_bits(), service),
            IpAddr::V6(vip) => take(&mut self.v6, &vip.to_bits(), service),
        }
    }

    pub(crate) fn of(&self, vip: IpAddr) -> &[ServiceId] {
        let services = match vip {
            IpAddr::V4(vip) => self.v4.get(&vip.to_bits()),
            IpAddr::V6(vip) => self.v6.get(&vip.to_bits()),
        };
        services.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns whether a service that satisfies `which` claims a VIP inside a prefix.
    pub(crate) fn any_inside(&self, prefix: IpNet, which: impl Fn(&ServiceId) -> bool) -> bool {
        let any = |services: &Vec<ServiceId>| services.iter().any(&which);
        match prefix {
            IpNet::V4(net) => {
                self.v4.range(net.network().to_bits()..=net.broadcast().to_bits()).any(|(_, services)| any(services))
            }
            IpNet::V6(net) => {
                self.v6.range(net.network().to_bits()..=net.broadcast().to_bits()).any(|(_, services)| any(services))
            }
        }
    }

    /// Like [`Self::any_inside`], without `vip` itself. Starts with the VIPs next to it, since the VIPs of a cluster
    /// are usually in one pool.
    pub(crate) fn any_beside(&self, vip: IpAddr, prefix: IpNet, which: impl Fn(&ServiceId) -> bool) -> bool {
        fn any<'a, K: 'a>(
            mut below: impl Iterator<Item = (&'a K, &'a Vec<ServiceId>)>,
            mut above: impl Iterator<Item = (&'a K, &'a Vec<ServiceId>)>,
            which: impl Fn(&ServiceId) -> bool,
        ) -> bool {
            loop {
                let next = [below.next(), above.next()];
                if next.iter().all(Option::is_none) {
                    return false;
                }
                if next.into_iter().flatten().any(|(_, services)| services.iter().any(&which)) {
                    return true;
                }
            }
        }
        match (prefix, vip) {
            (IpNet::V4(net), IpAddr::V4(vip)) => {
                let (first, vip, last) = (net.network().to_bits(), vip.to_bits(), net.broadcast().to_bits());
                let above = self.v4.range((Bound::Excluded(vip), Bound::Included(last.max(vip))));
                any(self.v4.range(first.min(vip)..vip).rev().fuse(), above.fuse(), which)
            }
            (IpNet::V6(net), IpAddr::V6(vip)) => {
                let (first, vip, last) = (net.network().to_bits(), vip.to_bits(), net.broadcast().to_bits());
                let above = self.v6.range((Bound::Excluded(vip), Bound::Included(last.max(vip))));
                any(self.v6.range(first.min(vip)..vip).rev().fuse(), above.fuse(), which)
            }
            _ => false,
        }
    }

    /// Calls `each` for every VIP inside a prefix.
    pub(crate) fn inside(&self, prefix: IpNet, mut each: impl FnMut(IpAddr, &[ServiceId])) {
        match prefix {
            IpNet::V4(net) => {
                for (bits, services) in self.v4.range(net.network().to_bits()..=net.broadcast().to_bits()) {
                    each(IpAddr::V4((*bits).into()), services);
                }
            }
            IpNet::V6(net) => {
                for (bits, services) in self.v6.range(net.network().to_bits()..=net.broadcast().to_bits()) {
                    each(IpAddr::V6((*bits).into()), services);
                }
            }
        }
    }
}
