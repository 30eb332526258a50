"""Names from all over Europe, by culture.

Most surnames are combined from stems and endings, so that a few syllables give hundreds of names.
"""

from __future__ import annotations

from attrs import field, frozen


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@frozen(kw_only=True)
class Culture:
    """The given names of a culture, and the parts of its surnames.

    Every stem is combined with every ending, or of `endings_of_women` if theirs differ, in the same order. An
    underscore is a blank. `whole` are complete surnames; with `is_double` people have two of them.
    """

    men: tuple[str, ...] = field(converter=_words)
    women: tuple[str, ...] = field(converter=_words)
    stems: tuple[str, ...] = field(converter=_words, default="")
    endings: tuple[str, ...] = field(converter=_words, default="")
    endings_of_women: tuple[str, ...] = field(converter=_words, default="")
    whole: tuple[str, ...] = field(converter=_words, default="")
    is_double: bool = False

    def surnames(self, *, of_women: bool) -> list[str]:
        """All surnames, always in the same order."""
        endings = (of_women and self.endings_of_women) or self.endings
        if self.is_double:
            return [f"{first} {second}" for first in self.whole for second in self.whole if first != second]
        combined = (f"{stem}{ending}" for stem in self.stems for ending in endings if not stem.lower().endswith(ending))
        return list(dict.fromkeys(name.replace("_", " ") for name in (*self.whole, *combined)))


CULTURES: dict[str, Culture] = {
    "British": Culture(
        men="Alfie Alistair Benjamin Callum Charles Daniel Edward Finlay George Harry Jack James Liam Noel Oliver "
        "Owen Rhys Samuel Thomas William",
        women="Alice Amelia Bethan Charlotte Chloë Eleanor Emily Freya Grace Harriet Imogen Isla Lucy Matilda Nia "
        "Olivia Phoebe Sophie Victoria Zoë",
        stems="Ash Black Brad Brook Church Clay Cross Dun East Fair Gold Green Hart Hay Lang Mill North Oak Red "
        "Stan Stone Thorn Wake West White Win",
        endings="bourne bridge field ford ham ley man ridge ton well wood worth",
        whole="Brontë Smith Jones Evans Llewellyn",
    ),
    "Irish": Culture(
        men="Aidan Brendan Cathal Ciarán Colm Conor Declan Diarmuid Eoin Fionn Lorcán Niall Oisín Pádraig Rónán Ruairí "
        "Seán Séamus Tadhg Tomás",
        women="Aoife Áine Bríd Caoimhe Ciara Clíona Deirdre Éabha Fionnuala Gráinne Máire Maeve Niamh Nuala Órla "
        "Róisín Sadhbh Sinéad Síle Úna",
        stems="O' Mac_ Mc",
        endings="Bradaigh Brien Carthy Connor Donnell Dowd Flaherty Gowan Grath Hara Keefe Leary Mahon Malley Namara "
        "Neill Rourke Shea Sullivan Toole",
        whole="Byrne Doyle Gallagher Kavanagh Nolan",
    ),
    "German": Culture(
        men="Andreas Björn Christian Dietmar Elias Florian Götz Günther Hannes Jens Jörg Jürgen Konrad Lukas Matthias "
        "Moritz Rüdiger Sören Tobias Wolfgang",
        women="Annegret Bärbel Birgit Clara Doris Edda Friederike Grete Hannelore Ingrid Jana Käthe Lena Marlies "
        "Nele Petra Rosemarie Sabine Ulrike Zoé",
        stems="Acker Ahorn Bach Baum Berg Brand Brück Busch Eich Feld Fried Gräf Hart Heid Hoch Hof Holz Kirch König "
        "Lang Lind Löw Neu Ober Rein Rosen Schön Stein Stern Süß Wald Wein Winter Zimmer",
        endings="mann er meyer bauer hofer müller berger hauser",
        whole="Müller Weiß Groß Jäger Krüger Schäfer Schröder Vogel",
    ),
    "French": Culture(
        men="Adrien Aurélien Benoît Cédric Étienne Félix François Gaël Grégoire Hervé Jérôme Joël Léo Loïc Mathéo "
        "Noël Rémi Stéphane Théo Yves",
        women="Adèle Amélie Anaïs Aurélie Béatrice Céline Chloé Éloïse Émilie Françoise Gaëlle Hélène Inès Joséphine "
        "Léa Maëlle Mégane Noémie Océane Zoé",
        stems="Beau Bel Bon Cham Char Clair Cour Fleur For Fon Grand Haut Lam Mal Mon Mou Pel Per Pré Ro Roche Val "
        "Vieil",
        endings="bois champ court fontaine lier mont pré rieux set tain vert ville",
        whole="Lefèvre Béranger Clément De_La_Tour Desprès Gérôme L'Hôte Le_Goff Mégevand Noël",
    ),
    "Spanish": Culture(
        men="Adrián Álvaro Andrés Ángel Efraín Fermín Germán Héctor Iñaki Iván Javier Jesús Joaquín José Julián Martín "
        "Óscar Raúl Rubén Víctor",
        women="Ainhoa Alba Asunción Begoña Belén Concepción Elena Inés Lucía María Marisol Mónica Nerea Noemí "
        "Rocío Sofía Úrsula Verónica Ximena",
        whole="Álvarez Ávila Beltrán Bolaños Cabañas Carrión Cortés Díaz Domínguez Fernández García Gálvez Gómez "
        "González Gutiérrez Hernández Ibáñez Jiménez López Marín Martínez Muñoz Núñez Ortega Peña Pérez Romero Ruiz "
        "Sánchez Vázquez Yáñez Zúñiga",
        is_double=True,
    ),
    "Portuguese": Culture(
        men="Afonso André António Caetano Cláudio Estêvão Fábio Gonçalo Inácio João Joaquim Jorge Luís Mário Nélson "
        "Rúben Sebastião Simão Tomé Vítor",
        women="Açucena Amália Beatriz Cátia Conceição Débora Eugénia Fátima Glória Inês Joana Lídia Lúcia Margarida "
        "Mónica Natália Patrícia Sónia Teresa Verónica",
        whole="Araújo Antunes Brandão Conceição Costa Esteves Falcão Ferreira Galvão Gomes Gonçalves Guimarães Leitão "
        "Lopes Magalhães Marques Paixão Patrício Pereira Sá Santos Silva Simões Sousa",
        is_double=True,
    ),
    "Italian": Culture(
        men="Alessandro Bruno Carlo Dario Enrico Fabrizio Giacomo Giuseppe Jacopo Leonardo Luca Marco Matteo Nicolò "
        "Paolo Pietro Salvatore Stefano Tommaso Ugo",
        women="Alessia Beatrice Chiara Daniela Elisa Federica Giada Giulia Ilaria Letizia Lucia Martina Nicoletta "
        "Ornella Paola Rosalìa Serena Silvia Valentina Viola",
        stems="Bald Barb Bell Bon Cam Cas Cav Cost Fab Fer Font Gal Gent Giord Lomb Mag Mart Mor Pag Pal Pell Ros Sant "
        "Sart Tad Tor Vian Vit Zan",
        endings="ini etti elli one ucci ato ari",
        whole="Cantù D'Angelo De_Luca Dell'Acqua Esposito Forlì Nicolò Rizzo",
    ),
    "Dutch": Culture(
        men="Bas Casper Daan Diederik Floris Gijs Hendrik Jeroen Joris Koen Lars Maarten Niels Pieter Reinier Sander "
        "Sjoerd Teun Thijs Wouter",
        women="Anouk Annelies Brechtje Carlijn Daphne Elise Femke Fleur Hanneke Ilse Jantje Katrijn Lotte Maaike "
        "Mariëlle Noëlle Renée Roos Saskia Wieke",
        stems="van_ van_den_ van_der_ de_ ter_ op_den_",
        endings="Berg Bos Brink Dijk Haar Heuvel Hoek Horst Laan Linden Meer Molen Veen Velde Vliet Wal Zand Zee",
        whole="Bakker Daniëls Jansen Lûtje Visser Zuidema",
    ),
    "Danish": Culture(
        men="Aksel Anders Asbjørn Bjarne Emil Esben Frederik Gorm Henrik Jeppe Jørgen Kåre Lasse Mads Mikkel Niels "
        "Rune Søren Torben Troels",
        women="Anne Astrid Birgitte Bodil Ditte Dorthe Ellen Freja Gyda Helle Ida Inger Karen Kirstine Lærke Maren "
        "Mette Signe Sørine Åse",
        stems="Abel Asbjørn Bjerre Bo Clau Ditlev Han Iver Jen Jørgen Kjær Lau Mikkel Mor Nør Ole Peder Ras "
        "Sten Søren Thøger",
        endings="sen gaard holm lund skov",
        whole="Bæk Kjærgård Møller Nørgård Skovgård Østergård",
    ),
    "Norwegian": Culture(
        men="Aslak Bjørn Dag Eirik Geir Gudbrand Halvard Håkon Håvard Jørn Kjell Lars Magnus Odd Pål Sigurd Sondre "
        "Ståle Tarjei Øystein",
        women="Anniken Berit Bjørg Dagny Eldbjørg Gunhild Guro Hedda Ingeborg Jorunn Kari Liv Marit Oddny Ragnhild "
        "Silje Solveig Tuva Unni Åshild",
        stems="Bjørn Bø Eng Fager Gran Hell Høy Kvern Lang Lyng Nord Røn Sand Skog Sol Stor Vest Øst",
        endings="bakken dal haug heim land moen nes rud stad sæter vik",
        whole="Ødegård Ås Bråten Hansen Løvås Sørbø",
    ),
    "Swedish": Culture(
        men="Anders Axel Björn Erik Göran Gösta Håkan Hampus Jöns Kåre Lars Måns Mårten Nils Olof Pär Rasmus Sören "
        "Torbjörn Åke",
        women="Agneta Annika Astrid Birgitta Ebba Elsa Gunilla Görel Hedvig Ingegärd Kajsa Linnéa Maj Märta Pernilla "
        "Sigrid Siv Tyra Ulrika Åsa",
        stems="Alm Berg Björk Dahl Ek Eng Fors Grön Hag Hed Hjort Holm Lager Lind Ljung Lund Löf Nor Ny Palm Ros Sand "
        "Sjö Sköld Ström Sund Söder Wall Åker Öster",
        endings="berg blad blom dahl gren holm kvist lund mark ström stedt",
        whole="Andersson Bergström Öberg",
    ),
    "Finnish": Culture(
        men="Aarne Aleksi Eero Eino Hannu Heikki Jukka Kalevi Lauri Markku Mikko Onni Pekka Pentti Risto Seppo Tapio "
        "Veikko Väinö Yrjö",
        women="Aino Anneli Eeva Elina Hilkka Inkeri Kaarina Katja Kyllikki Leena Mervi Minna Päivi Pirkko Riitta Sanni "
        "Tuula Tyyne Ulla Venla",
        stems="Heikki Hirvi Honka Hyvä Kangas Karhu Ketto Kuusi Lehto Manni Metsä Nurmi Pelto Peura Ranta Saari Salo "
        "Vuori Väli Ylä",
        endings="nen la mäki niemi järvi koski lahti salmi",
        whole="Hämäläinen Mäkelä Pöllönen Sjöholm",
    ),
    "Icelandic": Culture(
        men="Arnþór Árni Björgvin Davíð Einar Egill Friðrik Gísli Guðjón Hjörtur Ísak Jökull Kári Ólafur Páll Ragnar "
        "Sigurður Þór Þorsteinn Ævar",
        women="Anna Ásdís Björk Brynhildur Dagný Elín Freyja Guðrún Halldóra Hrafnhildur Ingibjörg Jórunn Katrín "
        "Margrét Ragnheiður Sigríður Sólveig Unnur Þóra Þórdís",
        stems="Arnars Björns Davíðs Einars Gísla Guðjóns Guðmundar Gunnars Helga Jóns Kristjáns Magnús Ólafs Páls "
        "Ragnars Sigurðar Stefáns Þórs Þorsteins Ævars",
        endings="son",
        endings_of_women="dóttir",
    ),
    "Polish": Culture(
        men="Andrzej Bartłomiej Bogusław Damian Grzegorz Jacek Jarosław Kazimierz Krzysztof Łukasz Maciej Marek Michał "
        "Paweł Piotr Przemysław Rafał Stanisław Wojciech Zbigniew",
        women="Agnieszka Aleksandra Barbara Bożena Danuta Elżbieta Ewa Grażyna Iwona Jadwiga Joanna Katarzyna "
        "Kinga Łucja Małgorzata Monika Róża Stanisława Urszula Żaneta",
        stems="Adam Bąk Brzez Chmiel Dąb Gór Grab Jabł Jan Kalin Kamień Kozł Lip Łęg Maj Malin Marcin Mił Olsz Ostr "
        "Piotr Rutk Sosn Stan Szczep Święt Tom Wiśn Wróbl Zał Żur",
        endings="owski ewicz iński czak",
        endings_of_women="owska ewicz ińska czak",
        whole="Nowak Wójcik Zając",
    ),
    "Czech": Culture(
        men="Antonín Bedřich Bořivoj Dušan František Jáchym Jiří Kamil Ladislav Luboš Lukáš Matěj Miloš Ondřej Přemysl "
        "Řehoř Štěpán Tomáš Václav Zdeněk",
        women="Alžběta Anežka Blažena Božena Dobromila Eliška Hana Jana Jiřina Kateřina Lenka Ludmila Markéta Růžena "
        "Šárka Štěpánka Tereza Věra Zdeňka Žofie",
        stems="Bar Ben Dub Hav Hol Hor Jan Jeř Klim Kov Kub Lad Mach Mal Mar Mat Mus Nov Pav Pet Pol Pros Seď Sla Šim "
        "Tom Van Ves Zem Žiž",
        endings="ák ík ec ek áček",
        endings_of_women="áková íková cová ková áčková",
    ),
    "Hungarian": Culture(
        men="András Ákos Béla Csaba Dezső Ernő Ferenc Gábor György István János József Kálmán László Miklós Ödön "
        "Sándor Tamás Zoltán Zsolt",
        women="Ágnes Anikó Boglárka Csilla Dóra Erzsébet Éva Fruzsina Gyöngyi Ildikó Jolán Judit Katalin Kinga Mária "
        "Orsolya Réka Sára Tünde Zsófia",
        stems="Bak Bár Bod Bor Csák Dob Erd Fehér Gál Hal Jász Kár Ker Kis Kocs Mész Mol Nagy Pál Sár Szent Szil Tak "
        "Tót Vár Vörös Zsig",
        endings="ai os ády váry házi falvi kői",
        whole="Kovács Szabó Szűcs Tóth Győrfi",
    ),
    "Romanian": Culture(
        men="Adrian Andrei Bogdan Călin Ciprian Cătălin Dănuț Emil Florin Gheorghe Horațiu Ioan Ionuț Laurențiu Mihai "
        "Nicușor Răzvan Sorin Ștefan Vasile",
        women="Adina Ana Anca Bianca Cătălina Crina Daniela Doina Elena Florența Gabriela Ileana Ioana Lăcrămioara "
        "Mădălina Măriuca Oana Raluca Sânziana Ștefania",
        stems="Anton Brăt Călin Ciob Cris Dobr Dumitr Filip Flor Georg Grig Ion Lup Manol Mar Mihăil Munt Nicol Olt "
        "Petr Pop Răd Sand Stan Ștef Șerb Tom Văcăr Vlad Zamfir",
        endings="escu eanu oiu",
    ),
    "Croatian": Culture(
        men="Ante Blaž Boško Branimir Dražen Đuro Goran Hrvoje Ivo Josip Krešimir Luka Marko Nenad Perica Siniša "
        "Tomislav Vedran Željko Živko",
        women="Ana Biljana Božica Dragana Đurđica Gordana Ivana Jasna Katarina Ljiljana Marija Mirjana Nevenka "
        "Ružica Sanja Snježana Suzana Tatjana Vesna Željka",
        stems="Andr Bab Blaž Boj Brank Čolak Dav Dragan Đurđ Fil Grg Ivan Jak Jov Juriš Knež Lovr Luk Mark Mat Mil "
        "Pav Per Petr Rad Sav Stank Šim Tom Vid Vuk Žup",
        endings="ić ović ević anić",
    ),
    "Greek": Culture(
        men="Alexandros Andreas Antonis Christos Dimitrios Evangelos Fotis Georgios Ilias Ioannis Konstantinos "
        "Leonidas Michail Nikolaos Panagiotis Pavlos Spyridon Stavros Theodoros Vasilis",
        women="Aikaterini Alexandra Anastasia Chrysoula Despina Eftychia Eleni Evgenia Foteini Ioanna Kalliopi "
        "Kyriaki Maria Olympia Panagiota Sofia Styliani Theodora Vasiliki Zoï",
        stems="Anagnost Andre Christod Dimitr Fot Georg Giann Kalog Karag Konstantin Kyriak Lamp Makr Mich Nikol Pan "
        "Papad Pavl Petr Sot Spyr Stav Theod Tsak Vass Xen Zach",
        endings="akis opoulos idis oglou",
        endings_of_women="aki opoulou idou oglou",
    ),
    "Latvian": Culture(
        men="Aigars Andris Ēriks Gatis Guntis Ģirts Imants Jānis Jēkabs Kārlis Krišjānis Mārtiņš Normunds Pēteris "
        "Raimonds Sandris Tālivaldis Uģis Valdis Ziedonis",
        women="Agnese Aija Baiba Dzintra Elīna Evija Gunta Ilze Ināra Inga Kristīne Laima Līga Māra Rūta Sanita "
        "Skaidrīte Vēsma Zane Žanete",
        stems="Ābol Bērz Egl Kalv Krūm Liep Ozol Riekst Sil Stūr Vanag Vītol Zar Zvirbul",
        endings="iņš ītis āns",
        endings_of_women="iņa īte āne",
    ),
    "Turkish": Culture(
        men="Ahmet Barış Can Çağlar Çetin Emre Ercüment Gökhan Hüseyin İlker İsmail Kağan Mehmet Oğuz Ömer Rıza Şükrü "
        "Tolga Uğur Yiğit",
        women="Ayşe Aslı Begüm Burçin Çiğdem Dilşad Elif Esra Fatma Gül Gülşen Işıl İpek Müge Nazlı Özlem Pınar Şebnem "
        "Tuğba Yıldız",
        stems="Ak Arslan Aydın Bal Çelik Demir Ekin Gün Gül Kara Kaya Kılıç Koç Öz Şahin Şen Tek Toprak Uzun Ünal Yüce",
        endings="oğlu er kan soy türk taş demir",
    ),
}
