//! What of a changed manifest is for members only: certificates, and the plan of the gate. What cannot change in
//! a running member was refused before.

use tracing::{error, info};

use super::Crew;
use crate::config::ClusterSetup;

impl Crew {
    /// Takes over what has changed. What cannot be done stays as it was, and is said.
    pub(super) async fn configure(&mut self) {
        let setup = self.parts.setups.borrow_and_update().clone();
        let changes = self.parts.setup.changes(&setup);
        if changes.credentials {
            self.show_others(&setup);
        }
        if changes.gate
            && let Err(problem) = self.replan(&setup).await
        {
            error!("the gate stays as it was: {problem}");
        }
        self.parts.setup = setup;
        self.stand_aside().await;
    }

    /// Connections that are there go on with what they were made with.
    fn show_others(&self, setup: &ClusterSetup) {
        let uid = self.parts.cluster.uid();
        match setup.peers.credentials(uid, &self.parts.me) {
            Ok((_, credentials)) => {
                self.parts.peers.set_credentials(credentials);
                info!("other certificates for the peer channel");
            }
            Err(problem) => error!("the certificates stay as they were: {problem}"),
        }
    }

    async fn replan(&self, setup: &ClusterSetup) -> Result<(), String> {
        let interfaces = setup.gate.ways.interfaces().await;
        let interfaces = interfaces.map_err(|problem| problem.to_string())?;
        let plan = setup.gate.plan(interfaces);
        let plan = plan.map_err(|wrong| wrong.to_string())?;
        self.parts.fence.replan(plan).await
    }
}
