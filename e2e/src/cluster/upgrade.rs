//! An upgrade from the release before, whose records have an older form, and the way back; under traffic.
//!
//! The older `lnsd` is a build of an earlier commit, `$LNS_OLDER`, which `e2e/older` makes. Left out: the operator,
//! which changes images (`kubernetes::rollout`).

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::bed::PATIENCE;
use super::network::{Network, Place};
use super::objects::Wanted;
use super::scene::{Expected, Ground as _, LONGER, Scene, rest};
use crate::scenario::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "cluster-upgrade",
    says: "to a release with another form of records, back, and again for good; then an older node comes",
    run: upgrade,
}];

const SESSIONS: usize = 1000;

/// How many records there are in the first form, and in the second: behind its mark a record begins with its form.
const FORMS: &str = "local forms = {}
for _, key in ipairs(redis.call('KEYS', '{lns:lns/edge}:[ts]/*')) do
    local record = redis.call('GET', key)
    local form = string.byte(record, string.find(record, ' ', 1, true) + 1)
    forms[form] = (forms[form] or 0) + 1
end
return {forms[1] or 0, forms[2] or 0}";

fn upgrade() -> Result<String> {
    let older = std::env::var_os("LNS_OLDER").map(PathBuf::from);
    let older = older.context("LNS_OLDER says where an older lnsd is: e2e/older makes it")?;
    let wanted = Wanted::default();
    let network = Network::create(wanted.announce)?;
    let mut scene = Scene::open_as(&network, &wanted, SESSIONS, Some(&older))?;
    let seen = scene.act(|scene| tell(scene, &older)).and_then(|seen| {
        scene.close()?;
        Ok(seen.line)
    });
    scene.bed.attest(seen)
}

fn tell(scene: &mut Scene<'_>, older: &Path) -> Result<Expected> {
    there(scene)?;
    for place in Place::ALL {
        exchange(scene, place, Some(older))?;
    }
    scene.newcomers("back")?;
    for place in Place::ALL {
        exchange(scene, place, None)?;
    }
    is_final(scene)?;
    latecomer(scene, older)?;
    Ok(Expected {
        changes: 14,
        may_repeat: true,
        silent: None,
    })
}

/// Two are upgraded, and one of them is master: as long as the third is not, nothing is final.
fn there(scene: &mut Scene<'_>) -> Result<()> {
    let last = scene.master()?;
    for place in Place::ALL.into_iter().filter(|place| *place != last) {
        exchange(scene, place, None)?;
    }
    scene.bed.node(last)?.table(&["step-down"])?;
    let master = scene.another(&[last])?;
    scene.newcomers("there")?;
    let refused = scene.bed.node(master)?.command(&["finalize-upgrade"])?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    let expected = format!("{} cannot read records of form 2", last.name());
    ensure!(
        !refused.status.success() && why.contains(&expected),
        "{} may be final while {} is older: {why}",
        master.name(),
        last.name()
    );
    let [_, second] = forms(scene)?;
    ensure!(second == 0, "{second} records have the newer form");
    Ok(())
}

/// All are written again, and whoever follows knows how.
fn is_final(scene: &mut Scene<'_>) -> Result<()> {
    let master = scene.master()?;
    let said = scene.bed.node(master)?.table(&["finalize-upgrade"])?;
    ensure!(said.contains("form 2 from now on"), "{said}");
    let give_up = Instant::now() + PATIENCE;
    loop {
        let [first, second] = forms(scene)?;
        if first == 0 && second > SESSIONS {
            break;
        }
        ensure!(
            Instant::now() < give_up,
            "{first} records have the older form, {second} the newer"
        );
        rest(1);
    }
    scene.newcomers("final")?;
    scene.bed.end(master, Signal::SIGKILL)?;
    scene.another(&[master])?;
    scene.newcomers("followed")?;
    let [first, _] = forms(scene)?;
    ensure!(first == 0, "{first} records have the older form again");
    scene.bed.launch(master)?;
    scene.bed.wait_ready(master)?;
    scene.bed.router.wait_for(PATIENCE, &Place::ALL).map(drop)
}

/// One that cannot read the records serves nobody, and is not master though nobody else is for a while.
fn latecomer(scene: &mut Scene<'_>, older: &Path) -> Result<()> {
    let master = scene.master()?;
    let late = scene.member()?;
    stop(scene, late, Some(older))?;
    scene.bed.launch(late)?;
    let node = scene.bed.node(late)?;
    node.wait(PATIENCE, "it says why it does not serve", |node| {
        let answer = node.get("/readyz");
        Ok(answer.is_ok_and(|(status, why)| status == 503 && why.contains("a later release")))
    })?;
    rest(LONGER);
    scene.bed.end(master, Signal::SIGKILL)?;
    let next = scene.another(&[master])?;
    ensure!(next != late, "a node is master that cannot read records");
    let view = scene.bed.router.views().last().cloned();
    let serves = view.is_some_and(|view| view.service.contains(&late));
    ensure!(!serves, "a node serves that cannot read records");
    scene.newcomers("beside")?;
    scene.bed.launch(master)?;
    scene.bed.wait_ready(master)?;
    exchange(scene, late, None)
}

/// Has a node end and come again as another release; `None`: this one.
fn exchange(scene: &mut Scene<'_>, place: Place, release: Option<&Path>) -> Result<()> {
    stop(scene, place, release)?;
    scene.bed.launch(place)?;
    scene.bed.wait_ready(place)?;
    scene.bed.router.wait_for(PATIENCE, &Place::ALL).map(drop)
}

fn stop(scene: &mut Scene<'_>, place: Place, release: Option<&Path>) -> Result<()> {
    scene.bed.end(place, Signal::SIGTERM)?;
    scene.bed.install(place, release)?;
    scene.master().map(drop)
}

fn forms(scene: &Scene<'_>) -> Result<[usize; 2]> {
    let store = &scene.bed.store;
    let answer = store.ask(store.master()?, &["EVAL", FORMS, "0"])?;
    let mut numbers = answer.lines().map(str::parse);
    let mut next = || numbers.next().context("no number");
    Ok([next()??, next()??])
}
