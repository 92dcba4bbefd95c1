//! Many routes, and how they are kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::engine::facts::routes::{Attributes, Routes};
use crate::model::switch::{NextHopGroupId, Route};

fn route(group: u64) -> Route {
    Route { owner: 1, preference: 170, metric: 10, next_hop_group: NextHopGroupId(group) }
}

#[test]
fn the_longest_match_wins_and_a_default_route_never_counts() {
    let (mut routes, mut attributes) = (Routes::default(), Attributes::default());
    for (prefix, group) in [("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.1.0.0/16", 3), ("::/0", 4), ("2001:db8::/32", 5)]
    {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        assert!(routes.set(prefix, Some(route(group)), &mut attributes, 0));
        assert!(!routes.set(prefix, Some(route(group)), &mut attributes, 1), "told again is not news");
    }
    let longest = |address: &str| {
        let found = routes.longest(address.parse().expect("an address"), &attributes);
        found.map(|found| found.route.next_hop_group.0)
    };
    assert_eq!(longest("10.1.2.3"), Some(3));
    assert_eq!(longest("10.2.2.3"), Some(2));
    assert_eq!(longest("11.0.0.1"), None);
    assert_eq!(longest("2001:db8::1"), Some(5));
    assert_eq!(longest("2001:db9::1"), None);
}

#[test]
fn a_sweep_takes_what_was_not_told_again() {
    let (mut routes, mut attributes) = (Routes::default(), Attributes::default());
    for last in 0..10u8 {
        routes.set(IpNet::from(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))), Some(route(1)), &mut attributes, 1);
        routes.set(IpNet::from(IpAddr::V6(Ipv6Addr::from_bits(last.into()))), Some(route(1)), &mut attributes, 1);
    }
    routes.set(IpNet::from(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3))), Some(route(1)), &mut attributes, 2);
    assert_eq!(routes.sweep(2, &mut attributes).len(), 19);
    assert!(routes.host(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)), &attributes).is_some());
    assert!(routes.host(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)), &attributes).is_none());
}
