//! Outlines of LabelMe, COCO and YOLO, and tables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonoseg_imaging::outlines::json::{self, Json};
use sonoseg_imaging::outlines::{Drawing, yolo};
use sonoseg_imaging::dataset::labels::read_labels;
use sonoseg_imaging::dataset::table::Table;

fuzz_target!(|bytes: &[u8]| {
    let paint = |drawing: &Drawing| {
        let [height, width] = drawing.size.filter(|[h, w]| h * w < 1 << 16).unwrap_or([48, 64]);
        let _ = drawing.paint(height, width, |_| 1);
    };
    match json::read(bytes) {
        Ok(Json::LabelMe(drawing)) => paint(&drawing),
        Ok(Json::Coco(coco)) => coco.drawings.iter().for_each(paint),
        Ok(Json::Foreign(_) | Json::Other) | Err(_) => {}
    }
    let _ = yolo::names(bytes);
    let _ = yolo::is_labels(bytes);
    if let Ok(drawing) = yolo::read(bytes, &yolo::listed(bytes)) {
        paint(&drawing);
    }
    if let Some(table) = Table::read(bytes) {
        for cell in table.rows.iter().filter_map(|(_, row)| row.as_ref().ok()).flatten() {
            let _ = (table.number(cell), table.frame(cell));
        }
    }
    let _ = read_labels(bytes);
});
