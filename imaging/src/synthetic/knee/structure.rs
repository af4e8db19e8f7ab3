//! What lies at a place: the structures of the view, and the boundaries between them under one point of the probe's face.

/// A structure of the longitudinal view above the patella, in the order of the classes of its masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// None of the others: gel, what lies outside the picture's sound, and whatever a shadow hides.
    Background,
    /// The suprapatellar recess between its walls: fluid with debris and septa in it, and thickened synovium.
    Recess,
    /// Skin.
    Skin,
    /// Subcutaneous fat.
    Fat,
    /// Quadriceps tendon.
    Tendon,
    /// Muscle below the tendon.
    Muscle,
    /// Suprapatellar (quadriceps) fat pad.
    SuprapatellarPad,
    /// Prefemoral fat pad, with the cartilage on the femur where there is any.
    PrefemoralPad,
    /// Surface of the femur.
    Femur,
    /// Surface of the patella.
    Patella,
}

impl Structure {
    /// All, by the number of their class.
    pub const ALL: [Self; 10] = [
        Self::Background,
        Self::Recess,
        Self::Skin,
        Self::Fat,
        Self::Tendon,
        Self::Muscle,
        Self::SuprapatellarPad,
        Self::PrefemoralPad,
        Self::Femur,
        Self::Patella,
    ];

    /// Number of its class.
    pub fn class(self) -> u8 {
        self as u8
    }

    /// Name of its class.
    pub fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Recess => "recess",
            Self::Skin => "skin",
            Self::Fat => "subcutaneous fat",
            Self::Tendon => "quadriceps tendon",
            Self::Muscle => "muscle",
            Self::SuprapatellarPad => "suprapatellar fat pad",
            Self::PrefemoralPad => "prefemoral fat pad",
            Self::Femur => "femur",
            Self::Patella => "patella",
        }
    }
}

/// The layers from the probe to the femur; the first is gel.
pub(super) const LAYERS: [Structure; 8] = [
    Structure::Background,
    Structure::Skin,
    Structure::Fat,
    Structure::Tendon,
    Structure::Muscle,
    Structure::SuprapatellarPad,
    Structure::Recess,
    Structure::PrefemoralPad,
];
/// Numbers in [`LAYERS`].
pub(super) const GEL: usize = 0;
pub(super) const SKIN: usize = 1;
pub(super) const FAT: usize = 2;
pub(super) const TENDON: usize = 3;
pub(super) const MUSCLE: usize = 4;
pub(super) const SUPRAPATELLAR_PAD: usize = 5;
pub(super) const RECESS: usize = 6;
pub(super) const PREFEMORAL_PAD: usize = 7;

/// The boundaries under one point of the probe's face.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Depth at which each layer ends, mm; that of the last is the femur's surface.
    pub(super) bottoms: [f64; 8],
    /// Depth of the patella's surface where it lies here, mm: all below it is in its shadow.
    pub(super) patella: Option<f64>,
    /// Thickness that the surface of a bone shows, mm.
    pub(super) bone_mm: f64,
    /// Thickness of the cartilage on the femur, mm.
    pub(super) cartilage_mm: f64,
}

impl Column {
    /// Depth at which a layer begins, mm.
    pub(super) fn top(&self, layer: usize) -> f64 {
        if layer == GEL { 0.0 } else { self.bottoms[layer - 1] }
    }

    /// Thickness of a layer, mm.
    pub(super) fn thickness(&self, layer: usize) -> f64 {
        self.bottoms[layer] - self.top(layer)
    }

    /// Depth of the femur's surface, mm.
    pub(super) fn femur(&self) -> f64 {
        self.bottoms[PREFEMORAL_PAD]
    }

    /// The first surface of a bone, mm, and whether it is the patella's.
    pub(super) fn bone(&self) -> (f64, bool) {
        self.patella.map_or((self.femur(), false), |depth| (depth, true))
    }

    /// The layer at a depth, mm, as if no bone were in its way; none in the femur.
    pub(super) fn layer(&self, depth: f64) -> Option<usize> {
        self.bottoms.iter().position(|&bottom| depth < bottom)
    }

    /// What is seen at a depth, mm.
    pub(super) fn at(&self, depth: f64) -> Structure {
        let (bone, patella) = self.bone();
        if depth < bone {
            return self.layer(depth).map_or(Structure::Background, |layer| LAYERS[layer]);
        }
        match (depth < bone + self.bone_mm, patella) {
            (false, _) => Structure::Background,
            (true, true) => Structure::Patella,
            (true, false) => Structure::Femur,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_belong_to_the_layer_above_the_first_bottom_below_them() {
        let mut column = Column {
            bottoms: [0.0, 1.0, 6.0, 12.0, 12.0, 14.0, 19.0, 24.0],
            patella: None,
            bone_mm: 1.0,
            cartilage_mm: 0.0,
        };
        use Structure::*;
        let found = [0.5, 3.0, 8.0, 13.0, 15.0, 20.0, 24.5, 26.0].map(|depth| column.at(depth));
        assert_eq!(found, [Skin, Fat, Tendon, SuprapatellarPad, Recess, PrefemoralPad, Femur, Background]);
        assert_eq!((column.thickness(MUSCLE), column.thickness(RECESS), column.femur()), (0.0, 5.0, 24.0));
        column.patella = Some(7.0);
        let found = [6.5, 7.5, 8.5, 15.0, 24.5].map(|depth| column.at(depth));
        assert_eq!(found, [Tendon, Patella, Background, Background, Background]);
    }

    #[test]
    fn classes_are_numbered_in_the_order_of_their_names() {
        for (number, structure) in Structure::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(structure.class()), number, "{}", structure.name());
        }
        assert_eq!(LAYERS[RECESS], Structure::Recess);
        assert_eq!(LAYERS[PREFEMORAL_PAD], Structure::PrefemoralPad);
    }
}
