//! `cni.*`: the plugin from exec to exit, one after another and many at once; and what the agent
//! holds of memory with many pods.
//!
//! Ours is the real plugin with a running agent on a node of the local VPC; the peer is `ptp` with
//! host-local; the floor a shim and a daemon that make the same kernel objects and do nothing else.
//! Each has network and mount namespaces of its own with its state on tmpfs; a worker process in
//! them runs the plugins one after another, and the bench takes turns between the workers.

mod contender;
mod node;
pub(crate) mod worker;
mod worker_client;

use self::contender::Contender;
pub(super) use self::node::{BenchNode, Shape, is_idle};
use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: a node for the plugin");
    let most = sizes.pods + sizes.bursts * BURST + sizes.crowd + sizes.standing + sizes.pods_on_top;
    let node = BenchNode::start(&Shape::large(most)).await?;
    node.wait_for_addresses(most)?;
    let mut contest = Contest {
        ours: node.contender()?,
        floor: contender::floor()?,
        peer: contender::peer()?,
    };
    let mut measured = Measured::default();
    screen.say(&format!("bench: {} pods, one after another", sizes.pods));
    let first = names("bench", sizes.pods);
    contest.measure("ADD", &first, &mut measured.add)?;
    contest.measure("DEL", &first, &mut measured.del)?;
    contest.each(|contender| contender.remove_netns(&first))?;
    screen.say("bench: many at once");
    contest.bursts(sizes, &mut measured)?;
    contest.each(|contender| contender.leave(&names("crowd", sizes.crowd)))?;
    screen.say(&format!(
        "bench: {} more on top of {}",
        sizes.pods_on_top, sizes.standing
    ));
    contest.stand(&names("stand", sizes.standing))?;
    let on_top = names("top", sizes.pods_on_top);
    contest.measure("ADD", &on_top, &mut measured.crowded)?;
    let peer = contest.peer.name().to_owned();
    contest.end()?;
    node.stop()?;
    screen.say("bench: memory of the agent of another node");
    measured.rss = resident(sizes.crowd).await?;
    Ok(measured.rows(sizes, &peer))
}

/// MiB of an agent that has added `pods` pods at once, to a node of its own with room for them.
async fn resident(pods: usize) -> anyhow::Result<f64> {
    let node = BenchNode::start(&Shape::large(pods)).await?;
    node.wait_for_addresses(pods)?;
    let mut plugin = node.contender()?;
    let pods = names("crowd", pods);
    for pod in &pods {
        plugin.create_netns(pod)?;
    }
    plugin.exec_all("ADD", &pods)?;
    let resident = node.agent_rss_mib()?;
    plugin.end()?;
    node.stop()?;
    Ok(resident)
}

/// ADDs at once of `cni.burst30`.
const BURST: usize = 30;

#[derive(Default)]
struct Measured {
    add: Samples,
    crowded: Samples,
    del: Samples,
    /// Until all of 30 are done.
    burst: Samples,
    /// Until all of a crowd are done.
    crowd: Samples,
    /// MiB.
    rss: f64,
}

impl Measured {
    fn rows(&self, sizes: Sizes, peer: &str) -> Vec<Row> {
        let subject = |id, what: String| Subject {
            id,
            what: format!("{what}, plugin from exec to exit; floor: the same netlink work alone"),
            unit: "ms",
            better: Better::Lower,
            peer_name: Some(peer.to_owned()),
        };
        let rss = Subject {
            id: "agent.rss250",
            what: format!(
                "resident memory of the agent of a p5.48xlarge with addresses for {} pods, after as \
                 many ADDs at once",
                sizes.crowd
            ),
            unit: "MiB",
            better: Better::Lower,
            peer_name: None,
        };
        let of = |id, what, samples| Row::of(subject(id, what), samples);
        let (pods, standing) = (sizes.pods, sizes.standing);
        let crowd = format!("{} ADDs at once, all done", sizes.crowd);
        vec![
            of("cni.add", format!("ADD of pods 1 to {pods}"), &self.add),
            of(
                "cni.add.1000",
                format!("ADD with {standing} pods standing"),
                &self.crowded,
            ),
            of("cni.del", format!("DEL of {pods} pods"), &self.del),
            of(
                "cni.burst30",
                format!("{BURST} ADDs at once, all done"),
                &self.burst,
            ),
            of("cni.burst250", crowd, &self.crowd),
            Row::alone(rss, self.rss),
        ]
    }
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

    /// Many ADDs at once. The last and largest crowd stays.
    fn bursts(&mut self, sizes: Sizes, measured: &mut Measured) -> anyhow::Result<()> {
        for turn in 0..sizes.bursts {
            let containers = names(&format!("burst{turn}x"), BURST);
            self.burst(turn, &containers, &mut measured.burst)?;
            self.each(|contender| contender.leave(&containers))?;
        }
        self.burst(0, &names("crowd", sizes.crowd), &mut measured.crowd)
    }

    fn burst(
        &mut self,
        turn: usize,
        containers: &[String],
        samples: &mut Samples,
    ) -> anyhow::Result<()> {
        let mut order = [
            (&mut self.ours, &mut samples.ours),
            (&mut self.floor, &mut samples.floor),
            (&mut self.peer, &mut samples.peer),
        ];
        order.rotate_left(turn % 3);
        for (contender, millis) in order {
            for container in containers {
                contender.create_netns(container)?;
            }
            millis.push(contender.exec_all("ADD", containers)?);
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
