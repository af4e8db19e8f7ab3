//! Tests of TIFF files, each made field by field.

use crate::formats::mask::{Coding, read_mask};
use crate::formats::orientation::tests::SEEN;
use crate::formats::{Clip, open};

/// A field: tag, type and numbers.
type Field = (u16, u16, Vec<u64>);

/// A TIFF made field by field, so that every flavour can be had.
struct Made {
    big: bool,
    big_endian: bool,
    bytes: Vec<u8>,
    /// Where the next directory's place is to be written.
    link: usize,
}

impl Made {
    fn new(big: bool, big_endian: bool) -> Self {
        let mut made = Self { big, big_endian, bytes: Vec::new(), link: 0 };
        made.bytes.extend(if big_endian { b"MM" } else { b"II" });
        made.put(if big { 43 } else { 42 }, 2);
        if big {
            made.put(8, 2);
            made.put(0, 2);
        }
        made.link = made.bytes.len();
        made.put(0, made.word());
        made
    }

    /// Bytes of an offset.
    fn word(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn of(&self, number: u64, size: usize) -> Vec<u8> {
        if self.big_endian { number.to_be_bytes()[8 - size..].to_vec() } else { number.to_le_bytes()[..size].to_vec() }
    }

    fn put(&mut self, number: u64, size: usize) {
        let bytes = self.of(number, size);
        self.bytes.extend(bytes);
    }

    /// A page of pixels `[height, width]`, of so many bits each as they stand in `data`.
    fn page(&mut self, [height, width]: [u64; 2], bits: u64, data: &[u8], more: &[Field]) {
        let start = self.bytes.len() as u64;
        self.bytes.extend(data);
        let mut fields: Vec<Field> = vec![
            (256, 4, vec![width]),
            (257, 4, vec![height]),
            (258, 3, vec![bits]),
            (259, 3, vec![1]),
            (262, 3, vec![1]),
            (273, 4, vec![start]),
            (277, 3, vec![1]),
            (278, 4, vec![height]),
            (279, 4, vec![data.len() as u64]),
        ];
        fields.retain(|(tag, ..)| more.iter().all(|(other, ..)| other != tag));
        fields.extend(more.iter().cloned());
        fields.sort();
        let mut entries = Vec::new();
        for (tag, kind, numbers) in &fields {
            let size = [0, 1, 1, 2, 4][usize::from(*kind)];
            let mut value: Vec<u8> = numbers.iter().flat_map(|&number| self.of(number, size)).collect();
            if value.len() > self.word() {
                let place = self.of(self.bytes.len() as u64, self.word());
                self.bytes.extend(value);
                value = place;
            }
            value.resize(self.word(), 0);
            let head = [self.of(u64::from(*tag), 2), self.of(u64::from(*kind), 2)];
            entries.extend([head.concat(), self.of(numbers.len() as u64, self.word()), value].concat());
        }
        let (directory, count) = (self.bytes.len(), if self.big { 8 } else { 2 });
        self.link_to(directory as u64);
        self.put(fields.len() as u64, count);
        self.bytes.extend(entries);
        self.link = self.bytes.len();
        self.put(0, self.word());
    }

    fn link_to(&mut self, place: u64) {
        let place = self.of(place, self.word());
        self.bytes[self.link..self.link + place.len()].copy_from_slice(&place);
    }

    /// Numbers of 16 bits in the file's order.
    fn words(&self, numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|&number| self.of(u64::from(number), 2)).collect()
    }

    fn open(self) -> Clip {
        open("a.tif", self.bytes).unwrap()
    }
}

fn text(words: &str) -> Field {
    (270, 2, words.bytes().map(u64::from).chain([0]).collect())
}

fn flavours() -> impl Iterator<Item = Made> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter().map(|(big, endian)| Made::new(big, endian))
}

fn frames(clip: &Clip) -> Vec<Vec<u8>> {
    (0..clip.len()).map(|index| clip.frame(index).unwrap().to_bytes()).collect()
}

fn note(clip: &Clip, words: &str) -> bool {
    clip.notes().iter().any(|note| note.contains(words))
}

#[test]
fn stacks_of_both_flavours_and_byte_orders_have_all_their_pages() {
    for mut made in flavours() {
        for level in [10, 20, 30] {
            made.page([2, 3], 8, &[level, 1, 2, 3, 4, level], &[]);
            made.page([1, 1], 8, &[99], &[]);
        }
        let clip = made.open();
        assert_eq!((clip.len(), clip.size()), (3, (2, 3)));
        assert_eq!(frames(&clip), [10, 20, 30].map(|level| vec![level, 1, 2, 3, 4, level]));
        assert_eq!(clip.notes().len(), 1);
        assert!(note(&clip, "3 of its 6 pages have another size"), "{:?}", clip.notes());
    }
}

#[test]
fn a_chain_that_leads_out_of_the_file_is_told_and_one_that_crosses_itself_is_refused() {
    for mut made in flavours() {
        made.page([1, 2], 8, &[1, 2], &[]);
        made.page([1, 2], 8, &[3, 4], &[]);
        let whole = made.bytes.clone();
        let last = made.link;
        made.link_to(whole.len() as u64 + 100);
        let clip = open("a.tif", made.bytes.clone()).unwrap();
        assert_eq!(frames(&clip), [[1, 2], [3, 4]]);
        assert!(note(&clip, "leads out of the file after page 2"), "{:?}", clip.notes());
        // The link in the header leads to the first directory.
        let header = if made.big { 8 } else { 4 };
        let word = made.word();
        made.bytes.copy_within(header..header + word, last);
        let message = open("a.tif", made.bytes).unwrap_err().to_string();
        assert!(message.contains("back into itself"), "{message}");
        let cut = open("a.tif", whole[..whole.len() - 20].to_vec()).unwrap();
        assert!(cut.len() == 1 && note(&cut, "after page 1"), "{:?}", cut.notes());
        assert!(open("a.tif", whole[..header + word].to_vec()).unwrap_err().to_string().contains("cut short"));
    }
}

#[test]
fn stacks_of_imagej_and_tifffile_go_on_behind_their_only_directory() {
    for mut made in flavours() {
        let data = made.words(&[0, 4095, 7, 8, 9, 10]);
        made.page([1, 2], 16, &data, &[text("ImageJ=1.53t\nimages=3\nslices=3\n"), (279, 4, vec![4])]);
        let clip = made.open();
        let white = |numbers: [u16; 2]| numbers.map(|number| f32::from(number) / 4095.0).to_vec();
        let read: Vec<Vec<f32>> = (0..clip.len()).map(|index| clip.frame(index).unwrap().pixels).collect();
        assert_eq!(read, [white([0, 4095]), white([7, 8]), white([9, 10])]);
        assert!(note(&clip, "use 12 of them at most"), "{:?}", clip.notes());
    }
    let stack = |words: &str, data: &[u8]| {
        let mut made = Made::new(false, false);
        // Two strips, which lie one behind the other.
        let strips = [(273, 4, vec![8, 10]), (278, 4, vec![1]), (279, 4, vec![2, 2])];
        made.page([2, 2], 8, data, &[&[text(words)], &strips[..]].concat());
        open("a.tif", made.bytes)
    };
    let eight = [1, 2, 3, 4, 5, 6, 7, 8];
    let clip = stack(r#"{"shape": [2, 2, 2], "truncated": true}"#, &eight).unwrap();
    assert_eq!(frames(&clip), [[1, 2, 3, 4], [5, 6, 7, 8]]);
    let channels = stack("ImageJ=1.53t\nimages=2\nchannels=2\n", &eight).unwrap();
    assert!(channels.len() == 2 && note(&channels, "2 channels"));
    let cut = stack("ImageJ=1.53t\nimages=900\n", &eight).unwrap_err().to_string();
    assert!(cut.contains("900 pictures") && cut.contains("cut short"), "{cut}");
    let mut packed = Made::new(false, false);
    packed.page([1, 2], 8, &[1, 1, 2], &[text("ImageJ=1.53t\nimages=2\n"), (259, 3, vec![32773])]);
    assert!(open("a.tif", packed.bytes).unwrap_err().to_string().contains("do not lie in one piece"));
    let mut listed = Made::new(false, false);
    listed.page([1, 2], 8, &[1, 2], &[text("ImageJ=1.53t\nimages=3\n")]);
    listed.page([1, 2], 8, &[3, 4], &[]);
    let clip = listed.open();
    assert!(clip.len() == 2 && note(&clip, "says that it holds 3 pictures; 2 are in it"));
}

#[test]
fn twelve_bits_in_sixteen_keep_their_levels_and_those_of_all_pages_alike() {
    let mut made = Made::new(false, true);
    for numbers in [[0, 100, 200], [300, 400, 4000]] {
        let data = made.words(&numbers);
        made.page([1, 3], 16, &data, &[]);
    }
    let clip = made.open();
    assert_eq!(clip.frame(0).unwrap().pixels, [0.0, 100.0 / 4095.0, 200.0 / 4095.0]);
    assert_eq!(clip.frame(1).unwrap().pixels[2], 4000.0 / 4095.0);
    assert_eq!(clip.notes().len(), 1);
}

#[test]
fn white_is_zero_signed_numbers_fractions_and_few_bits_are_read_as_they_mean() {
    let levels = |bits, format, photometric, data: &[u8]| {
        let mut made = Made::new(false, false);
        let width = (8 * data.len() as u64) / bits;
        made.page([1, width], bits, data, &[(262, 3, vec![photometric]), (339, 3, vec![format])]);
        made.open().frame(0).unwrap().pixels
    };
    let bytes = |numbers: &[i16]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    assert_eq!(levels(16, 1, 0, &bytes(&[0, 4095])), [1.0, 0.0]);
    assert_eq!(levels(16, 2, 1, &bytes(&[-100, 100, 0])), [0.0, 1.0, 0.5]);
    assert_eq!(levels(8, 2, 1, &[0xff, 1, 0]), [0.0, 1.0, 0.5]);
    let floats: Vec<u8> = [0.25_f32, 1.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(levels(32, 3, 1, &floats), [0.25, 1.0]);
    assert_eq!(levels(32, 3, 0, &floats), [0.75, 0.0]);
    let wide: Vec<u8> = [1000_u32, 4095].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(levels(32, 1, 1, &wide), [1000.0 / 4095.0, 1.0]);
    assert_eq!(levels(4, 1, 1, &[0x0f, 0x30]), [0.0, 1.0, 0.2, 0.0]);
    assert_eq!(levels(2, 1, 0, &[0b00_01_10_11]), [1.0, 1.0 - 1.0 / 3.0, 1.0 - 2.0 / 3.0, 0.0]);
    assert_eq!(levels(1, 1, 1, &[0b1010_0001]), [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn alpha_is_not_multiplied_twice_and_a_fourth_number_of_no_name_is_left_alone() {
    let colours = |extra: &[Field]| {
        let mut made = Made::new(false, false);
        let fields = [&[(258, 3, vec![8; 4]), (262, 3, vec![2]), (277, 3, vec![4])], extra].concat();
        made.page([1, 2], 8, &[200, 100, 50, 128, 10, 20, 30, 0], &fields);
        made.open().frame(0).unwrap().to_bytes()
    };
    let plain = [200, 100, 50, 10, 20, 30];
    assert_eq!(colours(&[]), plain);
    assert_eq!(colours(&[(338, 3, vec![0])]), plain);
    assert_eq!(colours(&[(338, 3, vec![1])]), plain, "laid over black already");
    assert_eq!(colours(&[(338, 3, vec![2])]), [100, 50, 25, 0, 0, 0]);
}

#[test]
fn every_page_is_turned_as_its_tag_says() {
    for (tag, (size, seen)) in (1..).zip(SEEN) {
        let mut made = Made::new(tag % 2 == 0, tag % 3 == 0);
        made.page([2, 3], 8, &[1, 2, 3, 4, 5, 6], &[(274, 3, vec![tag])]);
        let mask = read_mask("a.tif", made.bytes.clone()).unwrap();
        assert_eq!(([mask.height, mask.width], mask.values), (size, seen.map(u32::from).to_vec()));
        let clip = made.open();
        assert_eq!((clip.size(), frames(&clip)), ((size[0], size[1]), vec![seen.to_vec()]), "orientation {tag}");
        assert_eq!(note(&clip, "turned or mirrored"), tag != 1);
    }
    let mut made = Made::new(false, false);
    made.page([2, 3], 8, &[1, 2, 3, 4, 5, 6], &[]);
    made.page([3, 2], 8, &[1, 2, 3, 4, 5, 6], &[(274, 3, vec![6])]);
    let clip = made.open();
    assert_eq!(frames(&clip), [[1, 2, 3, 4, 5, 6], [5, 3, 1, 6, 4, 2]]);
}

#[test]
fn masks_keep_their_numbers_in_every_kind_of_page() {
    let mask = |bits, data: &[u8], more: &[Field]| {
        let mut made = Made::new(false, false);
        made.page([1, 2], bits, data, more);
        read_mask("a.tif", made.bytes).unwrap()
    };
    assert_eq!(mask(16, &[1, 0, 2, 1], &[]).values, [1, 258]);
    assert_eq!(mask(8, &[0, 3], &[]).values, [0, 3]);
    assert_eq!(
        mask(32, &[&1.0_f32.to_le_bytes()[..], &5.0_f32.to_le_bytes()].concat(), &[(339, 3, vec![3])]).values,
        [1, 5]
    );
    assert_eq!(mask(1, &[0b0100_0000], &[(262, 3, vec![0])]).values, [1, 0]);
    let palette: Vec<u64> = [[0, 65535], [0, 0], [0, 0x8000]].concat();
    let palette = mask(8, &[1, 0], &[(262, 3, vec![3]), (320, 3, palette)]);
    assert_eq!((palette.values, palette.coding), (vec![1, 0], Coding::Palette(vec![[0; 3], [255, 0, 128]])));
    let mut stack = Made::new(false, false);
    stack.page([1, 2], 8, &[1, 0], &[]);
    stack.page([1, 2], 8, &[0, 1], &[]);
    assert!(read_mask("a.tif", stack.bytes).unwrap_err().to_string().contains("2 pictures, and a mask is one"));
}

#[test]
fn what_is_not_read_is_refused_with_its_name_and_a_remedy() {
    let refused = |bits, more: Field, word: &str| {
        let mut made = Made::new(false, false);
        made.page([1, 2], bits, &[1, 2, 3, 4], &[more]);
        let message = open("a.tif", made.bytes).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains("Save it as"), "{message}");
    };
    refused(8, (259, 3, vec![50000]), "Zstandard");
    refused(8, (259, 3, vec![34712]), "JPEG 2000");
    refused(12, (266, 3, vec![1]), "12 bits");
    refused(1, (266, 3, vec![2]), "fill order 2");
    refused(8, (262, 3, vec![8]), "kind 8");
    refused(8, (277, 3, vec![2]), "2 numbers");
    let mut tiles = Made::new(false, false);
    let more = [(258, 3, vec![8; 3]), (262, 3, vec![2]), (277, 3, vec![3]), (284, 3, vec![2]), (322, 3, vec![16])];
    tiles.page([2, 3], 8, &[1; 768], &[&more[..], &[(323, 3, vec![16])]].concat());
    assert!(open("a.tif", tiles.bytes).unwrap_err().to_string().contains("tiles of planes"));
}

#[test]
fn a_page_whose_size_can_be_read_in_two_ways_is_refused() {
    for turned in [1, 6] {
        let mut made = Made::new(false, false);
        made.page([1, 2], 8, &[1, 2], &[(256, 4, vec![1]), (256, 4, vec![2]), (274, 3, vec![turned])]);
        let picture = open("a.tif", made.bytes.clone()).and_then(|clip| clip.frame(0)).unwrap_err();
        for error in [picture, read_mask("a.tif", made.bytes).unwrap_err()] {
            assert!(error.to_string().contains("another size than it says"), "{error}");
        }
    }
}
