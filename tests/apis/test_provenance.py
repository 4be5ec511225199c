from flmm.apis import provenance
from flmm.apis.provenance import data_hashes, file_hash, text_hash, versions, weight_hashes
from flmm.datasets.benchmarks import VQABenchmark
from flmm.datasets.flickr30k_regions import Flickr30kRegionDataset


def test_the_hash_of_a_file_is_sha256(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc')
    known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert file_hash(tmp_path / 'a') == f'sha256:{known}'


def test_a_huge_file_is_hashed_by_samples_and_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, 'WHOLE_FILE', 10)
    monkeypatch.setattr(provenance, '_CHUNK', 4)
    hashes = set()
    for content in (
        b'0123456789abcdef',
        b'X123456789abcdef',
        b'0123456789abcdeX',
        b'0123456789abc',
    ):
        (tmp_path / 'a').write_bytes(content)
        hashes.add(file_hash(tmp_path / 'a'))
    assert len(hashes) == 4 and all(text.startswith('sha256-sampled:') for text in hashes)


def test_weights_and_annotations_named_anywhere_in_a_config_are_found(tmp_path):
    (tmp_path / 'lmm').mkdir()
    (tmp_path / 'lmm/model.safetensors').write_bytes(b'1')
    (tmp_path / 'lmm/README.md').write_text('no weights')
    (tmp_path / 'head.pth').write_bytes(b'2')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/ann.json').write_text('{}')
    (tmp_path / 'train2014').mkdir()
    (tmp_path / 'train2014/a.jpg').write_bytes(b'3')
    model = dict(lmm=dict(pretrained=str(tmp_path / 'lmm')), name='org/on-a-hub')
    found = weight_hashes(model, tmp_path / 'head.pth')
    assert sorted(found) == [str(tmp_path / 'head.pth'), str(tmp_path / 'lmm/model.safetensors')]
    ann_file, root = str(tmp_path / 'data/ann.json'), str(tmp_path / 'train2014')
    assert list(data_hashes(dict(datasets=[dict(ann_file=ann_file, root=root)]))) == [ann_file]


def test_a_checkpoint_is_hashed_whatever_it_is_called(tmp_path):
    (tmp_path / 'head.ckpt').write_bytes(b'2')
    assert list(weight_hashes({}, tmp_path / 'head.ckpt')) == [str(tmp_path / 'head.ckpt')]


def test_annotations_that_only_their_folder_names_are_hashed(tmp_path):
    # ReasonSeg: a json beside each image; panoptic maps: a png for each.
    (tmp_path / 'a.json').write_text('{}')
    (tmp_path / 'a.jpg').write_bytes(b'1')
    (tmp_path / 'a.png').write_bytes(b'1')
    seen = [data_hashes(dict(root=str(tmp_path)))]
    (tmp_path / 'a.jpg').write_bytes(b'22')
    assert data_hashes(dict(root=str(tmp_path))) == seen[0]
    for name, content in (('a.json', '[]'), ('a.png', '22'), ('b.json', '')):
        (tmp_path / name).write_text(content)
        seen.append(data_hashes(dict(root=str(tmp_path))))
    assert len({found[str(tmp_path)] for found in seen}) == 4
    assert seen[0][str(tmp_path)].startswith('sha256-folder:')


def hashes_of(benchmark, ann_file):
    config = dict(type='VQABenchmark', benchmark=benchmark, ann_file=str(ann_file), image_root='')
    # As a config has it: the class, inside others.
    lazy = dict(dataset=dict(datasets=[{**config, 'type': VQABenchmark}]))
    found = data_hashes(config)
    assert data_hashes(lazy) == found
    return found


def test_what_a_benchmark_reads_beside_its_file_is_hashed(tmp_path):
    root = tmp_path / 'ai2d'
    for path, text in {
        'questions/0.png.json': '{}',
        'annotations/0.png.json': '{"text": 1}',
        'ai2d_test_ids.csv': '0',
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    first = hashes_of('ai2d', root / 'questions')
    assert sorted(first) == sorted(
        str(root / name) for name in ('questions', 'annotations', 'ai2d_test_ids.csv')
    )
    # The letters that are drawn decide what is asked.
    (root / 'annotations/0.png.json').write_text('{"text": 2}')
    second = hashes_of('ai2d', root / 'questions')
    changed = [path for path in first if first[path] != second[path]]
    assert changed == [str(root / 'annotations')]
    for name in ('problems.json', 'pid_splits.json'):
        (tmp_path / name).write_text('{}')
    assert len(hashes_of('scienceqa', tmp_path / 'problems.json')) == 2
    (tmp_path / 'pid_splits.json').unlink()
    assert len(hashes_of('scienceqa', tmp_path / 'problems.json')) == 1


def test_the_questions_of_mme_lie_in_folders_of_folders(tmp_path):
    texts = [tmp_path / 'count', tmp_path / 'OCR/questions_answers_YN']
    for folder in texts:
        folder.mkdir(parents=True)
        (folder / '1.txt').write_text('Is it?\tYes\nIs it not?\tNo\n')
        (folder / '1.jpg').write_bytes(b'1')
    first = hashes_of('mme', tmp_path)
    assert sorted(first) == sorted(map(str, texts))
    (texts[1] / '1.txt').write_text('Is it?\tNo\nIs it not?\tYes\n')
    second = hashes_of('mme', tmp_path)
    assert [path for path in first if first[path] != second[path]] == [str(texts[1])]


def test_the_folders_of_flickr30k_entities_are_hashed(tmp_path):
    for path in ('Sentences/1.txt', 'Annotations/1.xml'):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text('x')
    config = dict(type=Flickr30kRegionDataset, ann_file=str(tmp_path), image_root='')
    assert data_hashes(config) == {}
    found = data_hashes({**config, 'layout': 'entities'})
    assert sorted(found) == [str(tmp_path / 'Annotations'), str(tmp_path / 'Sentences')]


def test_a_long_text_in_a_config_is_no_file():
    assert weight_hashes(dict(prompt='Describe the image. ' * 300, odd='a\0b'), None) == {}
    assert data_hashes(dict(prompt='Describe the image. ' * 300, odd='a\0b')) == {}


def test_weights_that_deepspeed_wrote_one_folder_down_are_hashed(tmp_path):
    for tag in ('global_step1', 'global_step2'):
        (tmp_path / tag).mkdir()
        (tmp_path / tag / 'mp_rank_00_model_states.pt').write_bytes(tag.encode())
    (tmp_path / 'latest').write_text('global_step2')
    found = weight_hashes({}, tmp_path)
    assert list(found) == [str(tmp_path / 'global_step2/mp_rank_00_model_states.pt')]


def test_a_work_dir_with_folders_for_checkpoints_is_passed_over(tmp_path):
    # A stage that starts from another one names its work dir; DeepSpeed's checkpoints are folders.
    (tmp_path / 'iter_3.pth').mkdir()
    (tmp_path / 'iter_3.pth' / 'rank_00000.pth').write_bytes(b'x')
    (tmp_path / 'whole.pth').write_bytes(b'x')
    found = weight_hashes(dict(starts_from=str(tmp_path)), None)
    assert list(found) == [str(tmp_path / 'whole.pth')]


def test_the_hash_of_a_config_does_not_depend_on_the_order_of_its_keys():
    assert text_hash({'a': 1, 'type': dict}) == text_hash({'type': dict, 'a': 1})
    assert text_hash({'a': 1}) != text_hash({'a': 2})


def test_versions_name_what_numbers_depend_on():
    assert versions().keys() >= {'flmm', 'python', 'torch', 'numpy', 'pycocotools'}
