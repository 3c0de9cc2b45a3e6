//! Pods stay away from the node's metadata, and so from its credentials.

use std::time::Duration;

use anyhow::Context as _;
use underlay_testkit::{Netns, TokenAttempt, imds_token};

use super::stage::Stage;
use crate::screen::Screen;

/// How long silence must last to count.
const SILENCE: Duration = Duration::from_millis(800);

pub(super) fn play(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    screen.step("the metadata service, with the hop limit of 1 that instances have");
    let node = stage.cluster.nodes.first().context("no node")?;
    let held = match attempt(node.node.netns()) {
        Ok(TokenAttempt::Token(_)) => Ok(()),
        Ok(TokenAttempt::Silence) => Err("no answer".to_owned()),
        Err(why) => Err(why),
    };
    screen.check("the node gets a token", held);
    let with_groups = stage.tier_pods.iter().find(|placed| placed.node == 0);
    for placed in stage.pods.first().into_iter().chain(with_groups) {
        let held = match attempt(placed.pod.netns()?) {
            Ok(TokenAttempt::Silence) => Ok(()),
            Ok(TokenAttempt::Token(_)) => Err("it got one".to_owned()),
            Err(why) => Err(why),
        };
        screen.check(format!("its pod {} gets none", placed.pod.name), held);
    }
    Ok(())
}

fn attempt(netns: &Netns) -> Result<TokenAttempt, String> {
    imds_token(netns, SILENCE).map_err(|error| format!("{error:#}"))
}
