//! Trusted proxies: peers that may report the address of their client.
//!
//! An IPv4 address matches in both forms in which a dual-stack socket may write it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The networks of a listener's trusted proxies. Cheap to clone. Default: none.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Returns true if the address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl From<&[IpNet]> for TrustedProxies {
    fn from(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_in_both_forms() {
        let trusted = TrustedProxies::from(["10.0.0.0/8".parse().expect("a network")].as_slice());
        for (address, is_trusted) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::1", false)]
        {
            assert_eq!(trusted.contains(address.parse().expect("an address")), is_trusted, "{address}");
        }
    }
}
