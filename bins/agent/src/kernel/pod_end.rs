//! The pod's end of its pair of devices: its addresses, and its ways out.
//!
//! The first interface of a pod has its default routes. One that comes when they are another's leaves
//! them alone: what has its address goes by a table of its own, and so do its replies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_netlink::{
    Errno, IfIndex, KernelError, Request, Socket,
    address::{self, Address},
    link,
    neighbour::{self, Neighbour},
    route::{self, Route},
    rule::{self, Rule},
    sysctl,
};
use underlay_netplan::{
    PodWiring,
    numbers::{INSIDE_RULE_PRIORITY, INSIDE_TABLE_BASE},
};
use underlay_types::{Families, Family};

use super::execute::{Execution, no_device};

impl Execution<'_> {
    pub(super) fn configure_pod(&mut self, pod: &PodWiring) -> Result<(), KernelError> {
        let netns = self.pod_netns()?;
        let ifname = pod.key.ifname.as_str();
        if pod.addresses.v6().is_some() {
            // Runtimes and distributions may have turned IPv6 off for new devices.
            let name = format!("ipv6/conf/{ifname}/disable_ipv6");
            self.context().visit(netns, || sysctl::write(&name, "0"))?;
        }
        let mut opened = None;
        let known = self.pod_end;
        let place = match self.inside.take() {
            Some(place) => place,
            None => &mut opened,
        };
        let socket = match place {
            Some(socket) => socket,
            none => none.insert(self.context().socket_in(netns)?),
        };
        let dev = match known {
            Some(dev) => dev,
            None => link::by_name(socket, ifname)?.index,
        };
        self.second_in = connect(socket, pod, dev)?;
        // The node's end has its carrier now, but sends only once the kernel's workers have noticed,
        // unless somebody looks: a pod's first packets would be lost on a busy node.
        match self.index(&pod.host_device())? {
            Some(host) => link::by_index(&mut self.context().socket, host).map(drop),
            None => Err(no_device("configure", &pod.host_device())),
        }
    }
}

/// Brings the device up, with its addresses and ways. Returns the families whose default route is
/// another interface's.
fn connect(
    socket: &mut Socket,
    pod: &PodWiring,
    dev: IfIndex,
) -> Result<Option<Families>, KernelError> {
    let mut second_in = pod.second_in;
    let ways: Vec<Way> = pod.inside().map(|own| Way::of(pod, own, dev)).collect();
    let mut requests = vec![link::set_up(dev, true)];
    for way in &ways {
        requests.push(way.address());
        requests.extend(way.routes());
        requests.push(neighbour::set(&way.gateway_mac));
    }
    let mut answers = socket.run_each(&requests).into_iter();
    answers.next().unwrap_or(Ok(()))?;
    let mut later = Vec::new();
    for way in &ways {
        answers.next().unwrap_or(Ok(()))?;
        let routes = way.routes();
        let of_routes: Vec<_> = answers.by_ref().take(routes.len()).collect();
        answers.next().unwrap_or(Ok(()))?;
        let taken = |error: &KernelError| error.errno == Errno::EXIST;
        if way.apart
            || !of_routes
                .iter()
                .any(|answer| answer.as_ref().is_err_and(taken))
        {
            of_routes.into_iter().collect::<Result<(), _>>()?;
            continue;
        }
        second_in = Some(
            second_in
                .unwrap_or_else(|| Families::only(way.family))
                .and(way.family),
        );
        // What found no other in its way is another's from now on.
        let mine = way.main().into_iter().zip(&of_routes);
        let mine = mine.filter(|(_, answer)| answer.is_ok());
        later.extend(mine.map(|(route, _)| route::delete(&route).or_missing()));
        later.extend(way.table_apart());
    }
    socket.run(&later)?;
    Ok(second_in)
}

/// An address of the pod's end and how packets with it leave.
struct Way {
    family: Family,
    own: IpAddr,
    gateway: IpAddr,
    gateway_mac: Neighbour,
    dev: IfIndex,
    /// By a table of its own from the beginning.
    apart: bool,
}

impl Way {
    fn of(pod: &PodWiring, own: IpAddr, dev: IfIndex) -> Self {
        let family = Family::of(own);
        let gateway = PodWiring::gateway(family);
        Self {
            family,
            own,
            gateway,
            gateway_mac: Neighbour::permanent(dev, gateway, pod.host_mac()),
            dev,
            apart: pod.is_second(family),
        }
    }

    fn address(&self) -> Request {
        address::add(&Address {
            no_prefix_route: self.family == Family::V6,
            ..Address::new(self.dev, IpNet::from(self.own))
        })
    }

    fn routes(&self) -> Vec<Request> {
        if self.apart {
            return self.table_apart();
        }
        self.main().iter().map(route::add).collect()
    }

    fn main(&self) -> Vec<Route> {
        self.in_table(route::MAIN)
    }

    fn in_table(&self, table: u32) -> Vec<Route> {
        let everywhere = match self.family {
            Family::V4 => IpNet::V4(Ipv4Net::default()),
            Family::V6 => IpNet::V6(Ipv6Net::default()),
        };
        let default = Route::via(everywhere, self.gateway, self.dev, table).without_onlink();
        // A link-local gateway of IPv6 is on its device's link without a route.
        let to_gateway = Route::direct(IpNet::from(self.gateway), self.dev, table);
        let to_gateway = (self.family == Family::V4).then_some(to_gateway);
        to_gateway.into_iter().chain([default]).collect()
    }

    fn table_apart(&self) -> Vec<Request> {
        let table = INSIDE_TABLE_BASE.saturating_add(self.dev.0);
        let rule = Rule {
            source: Some(IpNet::from(self.own)),
            ..Rule::to_table(self.family, INSIDE_RULE_PRIORITY, table)
        };
        let routes = self.in_table(table);
        let mut requests: Vec<_> = routes.iter().map(route::replace).collect();
        requests.push(rule::add(&rule).or_exists());
        requests
    }
}
