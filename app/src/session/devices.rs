//! Where there are two devices: measuring both for the model in use, and moving to the faster or to the pinned one.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::start::Session;
use crate::faster::{self, WARM};
use crate::messages::{DeviceChoice, DeviceInfo, Fault, MeasureDevices, UseDevice};

impl Session {
    /// The user pins a device, or leaves the choice to the measurement.
    pub(crate) fn pin(&self, choice: DeviceChoice) {
        self.viewer.findings.pinned.set(choice);
        self.move_to_device();
    }

    /// Another prediction was made: when there were enough of them, both devices are measured, once a model.
    pub(super) fn warm_up(&self) {
        let findings = self.viewer.findings;
        let is_open = findings.pinned.get_untracked() == DeviceChoice::Auto && findings.has_gpu.get_untracked();
        let models = self.inner.try_update_value(|inner| {
            inner.warm += 1;
            let due = is_open && inner.warm >= WARM && inner.measured != inner.models && !inner.moving;
            due.then(|| {
                (inner.measured, inner.moving) = (inner.models, true);
                inner.models
            })
        });
        let Some(models) = models.flatten() else { return };
        let session = *self;
        spawn_local(async move {
            let answer = session.link.ask(MeasureDevices, None).await;
            session.inner.update_value(|inner| inner.moving = false);
            match answer {
                Ok((measured, _)) if session.inner.with_value(|inner| inner.models == models) => {
                    findings.measured.set(Some(measured));
                    session.move_to_device();
                }
                // The next worker or model is asked anew.
                Ok(_) | Err(Fault::Died { .. } | Fault::NoModel) => {}
                Err(fault) => session.viewer.notices.problem(format!("The devices could not be measured: {fault}")),
            }
        });
    }

    /// Run the model on the device that it is to run on.
    pub(super) fn move_to_device(&self) {
        let findings = self.viewer.findings;
        let (choice, measured) = (findings.pinned.get_untracked(), findings.measured.get_untracked());
        let wanted = faster::uses_gpu(choice, measured).filter(|_| findings.has_gpu.get_untracked());
        let now = findings.device.with_untracked(|device| device.as_ref().map(|device| device.gpu));
        let (Some(gpu), true) = (wanted.filter(|gpu| now != Some(*gpu)), now.is_some()) else { return };
        let begin = self.inner.try_update_value(|inner| inner.loaded && !std::mem::replace(&mut inner.moving, true));
        if begin != Some(true) {
            return;
        }
        let session = *self;
        spawn_local(async move {
            let answer = session.link.ask(UseDevice { gpu, because: faster::because(choice, measured) }, None).await;
            session.inner.update_value(|inner| inner.moving = false);
            match answer {
                Ok((device, _)) => session.moved_to(device),
                Err(Fault::Died { .. }) => {}
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
        });
    }

    fn moved_to(&self, device: DeviceInfo) {
        self.link.recovery(|recovery| recovery.moved_to(device.gpu));
        self.viewer.findings.device.set(Some(device));
        self.viewer.findings.forget_speeds();
        // Another one may be wanted by now.
        self.move_to_device();
    }
}
