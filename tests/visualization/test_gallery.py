import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from flmm.visualization import GalleryItem, GalleryWriter, Word, write_gallery

EVIL = '<script>alert("x")</script> & \'quotes\' "double"'


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ''
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text += data


def picture():
    return Image.new('RGB', (20, 10), (1, 2, 3))


def test_every_item_gets_a_sheet_and_a_card(tmp_path):
    items = [GalleryItem('refcoco/val/3', picture(), scores={'IoU': 81.25}), GalleryItem('b')]
    page = write_gallery(tmp_path, items, title='Look', metrics={'res/ciou': 80.0})
    text = page.read_text()
    assert [path.name for path in (tmp_path / 'sheets').iterdir()] == ['0001_refcoco_val_3.png']
    assert Image.open(tmp_path / 'sheets/0001_refcoco_val_3.png').size == (20, 10)
    tags = Tags(text)
    assert tags.tags.count('article') == 2
    assert '81.25' in tags.text and 'res/ciou' in tags.text and '80.00' in tags.text


def test_texts_are_escaped_everywhere(tmp_path):
    item = GalleryItem(
        EVIL, picture(), [Word(EVIL, (1, 2, 3)), Word(EVIL)], {EVIL: 1.0}, EVIL, EVIL
    )
    page = write_gallery(
        tmp_path,
        [item, GalleryItem('x', group='other')],
        title=EVIL,
        metrics={EVIL: 1.0},
        notes=[EVIL],
    )
    tags = Tags(page.read_text())
    assert tags.tags.count('script') == 1
    assert not [a for a in tags.attributes if a[1].startswith('on')]
    assert 'alert("x")' in tags.text


def test_the_page_needs_nothing_from_outside(tmp_path):
    page = write_gallery(tmp_path, [GalleryItem('a', picture())])
    links = [a[2] for a in Tags(page.read_text()).attributes if a[1] in ('src', 'href')]
    assert links and all((tmp_path / link).is_file() for link in links)
    assert not re.search(r'https?://|//cdn', page.read_text())


def test_words_keep_their_commas(tmp_path):
    words = [Word('one, two', (1, 2, 3)), Word(', three'), Word('.')]
    text = Tags(write_gallery(tmp_path, [GalleryItem('a', words=words)]).read_text()).text
    assert 'one, two, three.' in text


def test_cards_carry_the_score_that_sorts_them(tmp_path):
    scores = ({'IoU': 12.5}, {}, {'IoU': float('nan')})
    items = [GalleryItem('a', scores=values) for values in scores]
    tags = Tags(write_gallery(tmp_path, items).read_text())
    assert [a[2] for a in tags.attributes if a[1] == 'data-score'] == ['12.5', 'null', 'null']


def test_a_gallery_in_the_same_folder_is_replaced_but_other_files_stay(tmp_path):
    write_gallery(tmp_path, [GalleryItem('a', picture()), GalleryItem('b', picture())])
    (tmp_path / 'sheets/mine.png').write_text('keep')
    write_gallery(tmp_path, [GalleryItem('c', picture())])
    names = sorted(path.name for path in (tmp_path / 'sheets').iterdir())
    assert names == ['0001_c.png', 'mine.png']


@pytest.mark.parametrize('title', ['../../etc/passwd', '', 'ä/ö', 'a' * 300, '..'])
def test_any_title_gives_a_file_inside_the_folder(tmp_path, title):
    writer = GalleryWriter(tmp_path / 'gallery', 'x')
    writer.add(GalleryItem(title, picture()))
    writer.close()
    assert len(list((tmp_path / 'gallery/sheets').iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['gallery']


@pytest.mark.parametrize(('widths', 'card'), [((128, 96), 300), ((96, 500), 500), ((2000,), 680)])
def test_cards_are_as_wide_as_their_pictures_need(tmp_path, widths, card):
    items = [GalleryItem(str(width), Image.new('RGB', (width, 10))) for width in widths]
    assert f'minmax(min(100%, {card}px), 1fr)' in write_gallery(tmp_path, items).read_text()
