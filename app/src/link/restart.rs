//! What to do when the worker or its device dies.

use crate::messages::{Blame, ClipId, DeviceChoice, Subject};

/// What the worker was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    /// Choosing its device, the GPU allowed.
    GpuStart,
    /// Running on the GPU.
    Gpu,
    /// Starting or running on the CPU.
    Cpu,
}

/// What died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// The GPU, before it was in use.
    GpuStart,
    /// The GPU in use.
    Gpu,
    /// The worker alone, whatever its device.
    Worker,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Start a new worker, on the CPU when the device says so now.
    Again,
    /// Stop and let the user decide.
    GiveUp,
}

/// Workers in a row that may die before the page stops starting new ones.
const WORKER_DEATHS: u32 = 3;

/// Predictions by one worker that make up for what went wrong before.
const ENOUGH: usize = 20;

/// The device in use, and what has gone wrong so far.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// What the next worker is to use.
    pub device: DeviceChoice,
    /// Why, when it was not the first choice.
    pub because: Option<String>,
    during: During,
    gpu_workers: usize,
    gpu_deaths: u32,
    worker_deaths: u32,
    predicted: usize,
    /// The clip with a frame that stopped a worker.
    suspect: Option<ClipId>,
}

impl Recovery {
    /// Nothing has gone wrong yet.
    pub fn new(device: DeviceChoice) -> Self {
        let during = During::GpuStart;
        let (gpu_workers, gpu_deaths, worker_deaths, predicted) = (0, 0, 0, 0);
        Self { device, because: None, during, gpu_workers, gpu_deaths, worker_deaths, predicted, suspect: None }
    }

    /// A worker is started.
    pub fn started(&mut self) {
        self.during = if self.device == DeviceChoice::Cpu { During::Cpu } else { During::GpuStart };
        self.predicted = 0;
    }

    /// The worker has chosen its device.
    pub fn runs_on(&mut self, gpu: bool) {
        self.during = if gpu { During::Gpu } else { During::Cpu };
        self.gpu_workers += usize::from(gpu);
    }

    /// The model runs on the other device of this worker.
    pub fn moved_to(&mut self, gpu: bool) {
        self.during = if gpu { During::Gpu } else { During::Cpu };
    }

    /// The worker gave a prediction: when they are enough, all is well again.
    pub fn predicted(&mut self) {
        self.predicted += 1;
        if self.predicted >= ENOUGH {
            (self.gpu_deaths, self.worker_deaths) = (0, 0);
        }
    }

    /// Another clip or model is in use: what stopped a worker before may be gone.
    pub fn trust(&mut self) {
        self.suspect = None;
    }

    /// True when the GPU worker of the moment has given as many predictions as the address allows it.
    pub fn is_to_lose(&self, lose_after: &[usize]) -> bool {
        let after = self.gpu_workers.checked_sub(1).and_then(|index| lose_after.get(index));
        self.during == During::Gpu && after == Some(&self.predicted)
    }

    /// The device was lost. `None` when it is not in use, and may be lost without harm.
    pub fn device_lost(&mut self, reason: &str) -> Option<Remedy> {
        match self.during {
            During::GpuStart => Some(self.after(Death::GpuStart, reason)),
            During::Gpu => Some(self.after(Death::Gpu, reason)),
            During::Cpu => None,
        }
    }

    /// The worker crashed of a request. A network on the GPU and the choice of the device are the GPU's own work, and a
    /// GPU that fails says nothing about the frame; a frame that stops the CPU is passed over, and a clip with two of them
    /// is closed. What is left out from now on is no reason to stop starting workers.
    pub fn crashed(&mut self, doing: Option<Subject>, reason: &str) -> (Blame, Remedy) {
        let death = match (self.during, doing) {
            (During::GpuStart, Some(Subject::Device)) => Death::GpuStart,
            (During::Gpu, Some(Subject::Prediction(_) | Subject::Device)) => Death::Gpu,
            _ => Death::Worker,
        };
        let blame = match doing {
            Some(Subject::File) => Blame::Once,
            Some(Subject::Pixels(clip) | Subject::Prediction(clip)) if death != Death::Gpu => {
                if self.suspect.replace(clip) == Some(clip) { Blame::Again } else { Blame::Once }
            }
            _ => Blame::No,
        };
        if blame == Blame::Again || doing == Some(Subject::File) {
            self.worker_deaths = 0;
        }
        (blame, self.after(death, reason))
    }

    /// A GPU gets one more chance, unless it did not even start.
    fn after(&mut self, death: Death, reason: &str) -> Remedy {
        match death {
            Death::Worker => {
                self.worker_deaths += 1;
                return if self.worker_deaths < WORKER_DEATHS { Remedy::Again } else { Remedy::GiveUp };
            }
            Death::Gpu => self.gpu_deaths += 1,
            Death::GpuStart => {}
        }
        if death == Death::GpuStart || self.gpu_deaths > 1 {
            self.device = DeviceChoice::Cpu;
            self.because = Some(reason.trim_end_matches('.').to_owned());
        }
        Remedy::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: ClipId = ClipId([1; 32]);
    const PREDICTION: Option<Subject> = Some(Subject::Prediction(CLIP));

    fn on_gpu(recovery: &mut Recovery) {
        recovery.started();
        recovery.runs_on(true);
    }

    #[test]
    fn a_lost_gpu_is_tried_once_more_and_then_left() {
        let mut recovery = Recovery::new(DeviceChoice::Auto);
        on_gpu(&mut recovery);
        assert_eq!(recovery.device_lost("Lost."), Some(Remedy::Again));
        assert_eq!(recovery.device, DeviceChoice::Auto);
        on_gpu(&mut recovery);
        (0..ENOUGH).for_each(|_| recovery.predicted());
        recovery.device_lost("Lost.");
        assert_eq!(recovery.device, DeviceChoice::Auto, "what went well in between counts");
        on_gpu(&mut recovery);
        recovery.device_lost("Lost.");
        assert_eq!((recovery.device, recovery.because.as_deref()), (DeviceChoice::Cpu, Some("Lost")));
        recovery.started();
        assert_eq!(recovery.device_lost("Lost."), None, "a device that is not in use");
        let mut recovery = Recovery::new(DeviceChoice::Auto);
        recovery.started();
        recovery.device_lost("Lost.");
        assert_eq!(recovery.device, DeviceChoice::Cpu, "one that did not even start");
    }

    #[test]
    fn a_worker_that_keeps_dying_is_not_started_for_ever() {
        let mut recovery = Recovery::new(DeviceChoice::Cpu);
        recovery.started();
        let crash = |recovery: &mut Recovery| recovery.crashed(None, "Stopped.");
        assert_eq!(crash(&mut recovery), (Blame::No, Remedy::Again));
        assert_eq!(crash(&mut recovery), (Blame::No, Remedy::Again));
        assert_eq!(crash(&mut recovery), (Blame::No, Remedy::GiveUp));
        assert_eq!(recovery.crashed(Some(Subject::File), "Stopped."), (Blame::Once, Remedy::Again), "it is left out");
    }

    #[test]
    fn a_frame_is_passed_over_and_a_clip_with_two_of_them_is_closed() {
        let mut recovery = Recovery::new(DeviceChoice::Cpu);
        recovery.started();
        assert_eq!(recovery.crashed(PREDICTION, "Stopped.").0, Blame::Once);
        assert_eq!(recovery.crashed(Some(Subject::Pixels(CLIP)), "Stopped.").0, Blame::Again);
        assert_eq!(recovery.crashed(Some(Subject::Pixels(ClipId([2; 32]))), "Stopped.").0, Blame::Once);
        recovery.trust();
        assert_eq!(recovery.crashed(PREDICTION, "Stopped.").0, Blame::Once);
    }

    #[test]
    fn a_file_that_stops_the_worker_is_not_the_fault_of_the_gpu() {
        let mut recovery = Recovery::new(DeviceChoice::Auto);
        for doing in [Some(Subject::File), None] {
            on_gpu(&mut recovery);
            recovery.crashed(doing, "Stopped.");
            assert_eq!((recovery.gpu_deaths, recovery.device), (0, DeviceChoice::Auto));
        }
        on_gpu(&mut recovery);
        assert_eq!(recovery.crashed(PREDICTION, "Stopped."), (Blame::No, Remedy::Again));
        assert_eq!(recovery.gpu_deaths, 1, "the network on the GPU is the GPU's own work");
        recovery.started();
        recovery.crashed(Some(Subject::Device), "Stopped.");
        assert_eq!(recovery.device, DeviceChoice::Cpu);
    }

    #[test]
    fn a_gpu_that_the_model_left_may_be_lost_without_harm() {
        let mut recovery = Recovery::new(DeviceChoice::Auto);
        on_gpu(&mut recovery);
        recovery.moved_to(false);
        assert_eq!(recovery.device_lost("Lost."), None);
        recovery.moved_to(true);
        assert_eq!(recovery.crashed(Some(Subject::Device), "Stopped."), (Blame::No, Remedy::Again));
        assert_eq!(recovery.gpu_deaths, 1, "it was measured");
    }

    #[test]
    fn the_address_says_when_a_gpu_is_lost() {
        let mut recovery = Recovery::new(DeviceChoice::Auto);
        recovery.started();
        assert!(!recovery.is_to_lose(&[0]), "there is none yet");
        on_gpu(&mut recovery);
        recovery.predicted();
        assert!(recovery.is_to_lose(&[1]) && !recovery.is_to_lose(&[2]));
    }
}
