//! Everything there is, as changes.

use crate::{Change, Model};

impl Model {
    /// What has to be carried out, beside instances and devices, to make a world from nothing that
    /// follows the model: whoever goes on with a world checks it against this.
    #[must_use]
    pub fn everything(&self) -> Vec<Change> {
        let mut all = Vec::new();
        all.extend(self.vpcs.keys().cloned().map(Change::VpcChanged));
        let acls = self.network_acls.keys().cloned();
        all.extend(acls.map(Change::NetworkAclChanged));
        all.extend(self.subnets.keys().cloned().map(Change::SubnetChanged));
        let lists = self.prefix_lists.keys().cloned();
        all.extend(lists.map(Change::PrefixListChanged));
        all.extend(self.groups.keys().cloned().map(Change::GroupChanged));
        let gateways = self.internet_gateways.keys().cloned();
        all.extend(gateways.map(Change::InternetGatewayChanged));
        let gateways = self.egress_only_gateways.keys().cloned();
        all.extend(gateways.map(Change::EgressOnlyInternetGatewayChanged));
        let gateways = self.nat_gateways.keys().cloned();
        all.extend(gateways.map(Change::NatGatewayChanged));
        all.extend(self.peerings.keys().cloned().map(Change::PeeringChanged));
        let public = self.public_addresses.keys().copied();
        all.extend(public.map(Change::PublicAddressChanged));
        let tables = self.route_tables.keys().cloned();
        all.extend(tables.map(Change::RouteTableChanged));
        all.extend(self.live_branches());
        all.push(Change::FlowLogsChanged);
        all
    }
}
