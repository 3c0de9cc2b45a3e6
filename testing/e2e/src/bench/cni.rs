//! `cni.add`, `cni.del` and `cni.add.1000`: the plugin from exec to exit.
//!
//! Ours is the real plugin with a running agent on a node of the local VPC; the peer is `ptp` with
//! host-local; the floor a shim and a daemon that make the same kernel objects and do nothing else.
//! Each has network and mount namespaces of its own with its state on tmpfs; a worker process in
//! them runs the plugins one after another, and the bench takes turns between the workers.

mod contender;
mod node;
pub(crate) mod worker;
mod worker_client;

use self::{contender::Contender, node::BenchNode};
use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: a node for the plugin");
    let node = BenchNode::start(sizes.pods + sizes.standing + sizes.pods_on_top).await?;
    let peer = contender::peer()?;
    let mut contest = Contest {
        ours: node.contender()?,
        floor: contender::floor()?,
        peer,
    };
    screen.say(&format!("bench: {} pods, one after another", sizes.pods));
    let mut add = Samples::default();
    let mut del = Samples::default();
    let first = names("bench", sizes.pods);
    contest.measure("ADD", &first, &mut add)?;
    contest.measure("DEL", &first, &mut del)?;
    contest.each(|contender| contender.remove_netns(&first))?;
    screen.say(&format!(
        "bench: {} more on top of {}",
        sizes.pods_on_top, sizes.standing
    ));
    contest.stand(&names("stand", sizes.standing))?;
    let mut crowded = Samples::default();
    contest.measure("ADD", &names("top", sizes.pods_on_top), &mut crowded)?;
    let subject = |id, what: String| Subject {
        id,
        what: format!("{what}, plugin from exec to exit; floor: the same netlink work alone"),
        unit: "ms",
        better: Better::Lower,
        peer_name: Some(contest.peer.name().to_owned()),
    };
    let (pods, standing) = (sizes.pods, sizes.standing);
    let rows = vec![
        Row::of(subject("cni.add", format!("ADD of pods 1 to {pods}")), &add),
        Row::of(
            subject("cni.add.1000", format!("ADD with {standing} pods standing")),
            &crowded,
        ),
        Row::of(subject("cni.del", format!("DEL of {pods} pods")), &del),
    ];
    contest.end()?;
    node.stop()?;
    Ok(rows)
}

/// Those who take turns.
struct Contest {
    ours: Contender,
    floor: Contender,
    peer: Contender,
}

impl Contest {
    /// Runs the plugin once per container and contender, in an order that rotates.
    fn measure(
        &mut self,
        command: &'static str,
        containers: &[String],
        samples: &mut Samples,
    ) -> anyhow::Result<()> {
        for (turn, container) in containers.iter().enumerate() {
            let mut order = [
                (&mut self.ours, &mut samples.ours),
                (&mut self.floor, &mut samples.floor),
                (&mut self.peer, &mut samples.peer),
            ];
            order.rotate_left(turn % 3);
            for (contender, millis) in order {
                if command == "ADD" {
                    contender.create_netns(container)?;
                }
                millis.push(contender.exec(command, container)?);
            }
        }
        Ok(())
    }

    /// Adds pods that stay, all contenders at the same time.
    fn stand(&mut self, containers: &[String]) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let fill = |contender: &mut Contender| {
                for container in containers {
                    contender.create_netns(container)?;
                    contender.exec("ADD", container)?;
                }
                Ok(())
            };
            let running = [&mut self.ours, &mut self.floor, &mut self.peer]
                .map(|contender| scope.spawn(move || fill(contender)));
            let ended = running.map(|thread| {
                thread
                    .join()
                    .map_err(|_panic| anyhow::anyhow!("a filler panicked"))
            });
            ended.into_iter().try_for_each(|result| result?)
        })
    }

    fn each(
        &mut self,
        mut act: impl FnMut(&mut Contender) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        [&mut self.ours, &mut self.floor, &mut self.peer]
            .into_iter()
            .try_for_each(&mut act)
    }

    fn end(self) -> anyhow::Result<()> {
        self.floor.end()?;
        self.peer.end()?;
        self.ours.end()
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{prefix}{index:04}"))
        .collect()
}
