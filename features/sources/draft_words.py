"""What shops call their columns, in English, German, French, Spanish and Chinese: for a draft of a mapping.

Written without case, accents and signs, words apart by a blank, names apart by a comma.
"""

from collections.abc import Mapping

_MEMBER = (
    "member id, member, member no, customer id, customer, customer no, cust id, client id, card, card no, card number, "
    "loyalty card, user id, user, visitor id, visitor, buyer id, buyer, reviewer id, household id, household, "
    "account id, shopper id, kunde, kundennummer, kunden nr, "
    "kunden id, karte, kartennummer, mitglied, mitgliedsnummer, client, numero client, id client, carte, numero carte, "
    "adherent, cliente, id cliente, numero cliente, tarjeta, socio, 会员, 会员号, 会员编号, 会员id, 会员卡号, 客户, "
    "客户编号, 客户id, 顾客, 用户id, 用户编号"
)
_ITEM = (
    "item id, item, item no, sku, sku id, product id, product, product code, article, article no, ean, upc, gtin, barcode, "
    "stock code, plu, asin, isbn, movie id, film id, book id, track id, artikel, artikelnummer, artikel nr, "
    "produkt, produktnummer, code article, reference, produit, "
    "code produit, articulo, id articulo, producto, codigo producto, 商品, 商品编号, 商品编码, 商品id, 货号, 条码, "
    "产品编号, sku编码"
)
_STORE = (
    "store id, store, shop, shop id, branch, outlet, location, filiale, filial nr, markt, laden, magasin, boutique, "
    "code magasin, point de vente, tienda, id tienda, sucursal, 门店, 门店编号, 店铺, 店铺编号"
)
_CHANNEL = "channel, sales channel, kanal, vertriebskanal, verkaufskanal, canal, canal de vente, canal de venta, 渠道, 销售渠道"
_MOMENT = (
    "timestamp, datetime, date time, ts, at, occurred at, created at, time stamp, zeitpunkt, zeitstempel, horodatage, "
    "date heure, fecha hora, 时间, 日期时间, date, day, datum, tag, jour, fecha, dia, 日期"
)
_PRICE = (
    "price, unit price, list price, shelf price, retail price, rrp, preis, verkaufspreis, stueckpreis, einzelpreis, prix, "
    "prix unitaire, prix vente, precio, precio unitario, pvp, 价格, 单价, 售价, 零售价"
)
_COST = (
    "cost, unit cost, cost price, purchase price, einkaufspreis, ek, kosten, cout, prix achat, costo, coste, 成本, 成本价, 进价"
)

WORDS: Mapping[str, Mapping[str, str]] = {
    "purchases": {
        "order_id": (
            "order id, order, order no, order number, ticket, ticket id, receipt, receipt id, receipt no, basket id, "
            "basket, invoice, invoice no, transaction id, transaction, bon, bonnummer, bon nr, beleg, belegnummer, "
            "bestellung, bestellnummer, auftrag, rechnung, rechnungsnummer, commande, numero commande, ticket de caisse, "
            "numero ticket, facture, pedido, numero pedido, factura, recibo, 订单, 订单号, 订单编号, 单号, 小票号, 交易号, "
            "流水号"
        ),
        "line_no": (
            "line no, line, line number, position, pos, row, seq, zeile, zeilennummer, ligne, numero ligne, linea, 行号, 序号"
        ),
        "member_id": _MEMBER,
        "item_id": _ITEM,
        "quantity": (
            "quantity, qty, units, pieces, number of items, number of cds, menge, anzahl, stueck, stueckzahl, quantite, "
            "qte, nombre, cantidad, unidades, cant, 数量, 件数, 购买数量"
        ),
        "net": (
            "net, total, amount, sales value, sales, line total, net amount, dollar value, value, revenue, paid, "
            "total price, betrag, umsatz, summe, gesamt, gesamtpreis, gesamtbetrag, nettobetrag, montant, montant total, "
            "prix total, importe, importe total, monto, 金额, 实付金额, 销售额, 总价, 成交金额, 支付金额, 实付"
        ),
        "discount": (
            "discount, rebate, reduction, retail disc, markdown, discount amount, rabatt, nachlass, remise, "
            "reduction montant, descuento, rebaja, 折扣, 优惠, 折扣金额, 优惠金额"
        ),
        "coupon": (
            "coupon, coupon amount, coupon disc, coupon discount, voucher, gutschein, gutscheinbetrag, bon de reduction, "
            "cupon, vale, 优惠券, 优惠券金额, 券金额"
        ),
        "channel": _CHANNEL,
        "store_id": _STORE,
        "kind": "kind, sale or return, transaction kind, vorgang, vorgangsart, type vente, 交易类型",
        "occurred_at": f"{_MOMENT}, "
        "transaction timestamp, transaction date, transaction dt, transaction time, order time, purchase time, "
        "order date, invoice date, sold at, purchase date, purchased at, "
        "sale date, kaufdatum, bestelldatum, verkaufsdatum, verkauft am, belegdatum, rechnungsdatum, date achat, "
        "date commande, date vente, fecha compra, fecha pedido, fecha venta, 下单时间, 交易时间, 购买时间, 订单日期, "
        "销售日期, 支付时间, 交易日期",
        "recorded_at": "recorded at, loaded at, updated at, booked at, erfasst am, gebucht am, 入库时间, 更新时间",
        "price of one": _PRICE,
        "time of day": "time, hour, uhrzeit, zeit, heure, hora, 时刻",
    },
    "items": {
        "item_id": _ITEM,
        "department": (
            "department, dept, division, abteilung, sortiment, rayon, departement, departamento, seccion, 部门, 大类, 一级类目"
        ),
        "category": (
            "category, category id, product category, genre, genres, family, group, product group, commodity, kategorie, "
            "warengruppe, categorie, "
            "famille, categoria, familia, 类别, 分类, 品类, 类目, 二级类目"
        ),
        "subcategory": (
            "subcategory, sub category, subclass, product subclass, product type, sub commodity, class, unterkategorie, "
            "untergruppe, sous categorie, "
            "subcategoria, 子类, 小类, 三级类目"
        ),
        "brand": (
            "brand, manufacturer, manufacturer id, maker, marke, hersteller, marque, fabricant, marca, fabricante, 品牌, 厂商"
        ),
        "own_brand": "own brand, private label, eigenmarke, marque propre, mdd, marca propia, marca blanca, 自有品牌",
        "pack_size": (
            "pack size, package size, size, pack, packung, packungsgroesse, gebinde, conditionnement, taille, tamano, "
            "规格, 包装"
        ),
        "price": _PRICE,
        "cost": _COST,
        "sold_by_measure": "sold by measure, sold by weight, weighed, gewichtsware, au poids, por peso, 称重, 是否称重",
        "available": (
            "available, active, in stock, verfuegbar, aktiv, gelistet, disponible, actif, activo, 在售, 是否上架, 有货"
        ),
    },
    "members": {
        "member_id": _MEMBER,
        "registered": (
            "registered, registered at, registration date, joined, join date, member since, signup date, enrolled, "
            "created at, created, registriert am, anmeldedatum, mitglied seit, kunde seit, date inscription, inscrit le, "
            "client depuis, fecha registro, fecha alta, 注册时间, 注册日期, 入会时间, 入会日期"
        ),
        "birth_month": (
            "birth month, birthday, birth date, date of birth, dob, born, geburtstag, geburtsdatum, geburtsmonat, "
            "date naissance, mois naissance, fecha nacimiento, cumpleanos, 生日, 出生日期, 生日月份"
        ),
        "gender": "gender, sex, geschlecht, anrede, sexe, civilite, sexo, genero, 性别",
        "region": (
            "region, state, province, city, country, postcode, pin code, zip, zip code, plz, ort, bundesland, stadt, "
            "ville, code postal, provincia, "
            "ciudad, 地区, 城市, 省份"
        ),
        "home_store": f"{_STORE}, "
        "home store, favourite store, registration store, stammfiliale, heimatfiliale, magasin rattachement, "
        "tienda habitual, 注册门店, 所属门店",
        "age_band": (
            "age band, age, age group, age range, alter, altersgruppe, age tranche, tranche age, edad, grupo edad, 年龄, 年龄段"
        ),
        "household_size": "household size, persons, haushaltsgroesse, taille foyer, tamano hogar, 家庭人数",
        "children": (
            "children, kids, kids count, number of children, kinder, anzahl kinder, enfants, nombre enfants, hijos, 子女, "
            "孩子数"
        ),
        "marketing_consent": (
            "marketing consent, consent, opt in, optin, newsletter, einwilligung, werbeeinwilligung, consentement, "
            "consentimiento, 营销同意, 是否同意营销, 接收营销"
        ),
    },
    "events": {
        "event_id": "event id, event no, log id, ereignis id, id evenement, id evento, 事件id, 日志id",
        "member_id": _MEMBER,
        "event_type": (
            "event type, event, action, event name, ereignis, ereignisart, aktion, evenement, type evenement, evento, "
            "accion, 事件, 事件类型, 行为, 行为类型"
        ),
        "item_id": _ITEM,
        "session_id": "session id, session, visit id, sitzung, id session, sesion, 会话, 会话id",
        "duration_s": "duration s, duration, seconds, dwell time, dauer, duree, duracion, 时长, 停留时长, 停留秒数",
        "channel": "channel, platform, source, kanal, plattform, canal, plateforme, 渠道, 平台",
        "store_id": _STORE,
        "occurred_at": f"{_MOMENT}, "
        "event time, event timestamp, event date, ereigniszeit, date evenement, fecha evento, 事件时间, 发生时间",
        "recorded_at": "recorded at, received at, loaded at, ingested at, empfangen am, recu le, 接收时间",
    },
    "exposures": {
        "member_id": _MEMBER,
        "campaign_id": (
            "campaign id, campaign, mailing id, kampagne, kampagnen id, campagne, id campagne, campana, id campana, 活动, "
            "活动id, 活动编号, 营销活动"
        ),
        "campaign_kind": "campaign kind, campaign type, kampagnenart, type campagne, tipo campana, 活动类型",
        "arm": "arm, variant, group, test group, variante, gruppe, groupe, grupo, 分组, 实验组",
        "cost": "cost, contact cost, kosten, cout, costo, 成本",
        "until": "until, end date, end, valid until, ends at, enddatum, bis, date fin, fecha fin, 结束日期, 截止日期",
        "occurred_at": f"{_MOMENT}, "
        "start date, sent at, start, sent, startdatum, gesendet am, date debut, date envoi, fecha inicio, fecha envio, "
        "开始日期, 发送时间",
    },
    "redemptions": {
        "member_id": _MEMBER,
        "campaign_id": (
            "campaign id, campaign, kampagne, kampagnen id, campagne, id campagne, campana, id campana, 活动, 活动id, 活动编号"
        ),
        "coupon_id": (
            "coupon id, coupon, coupon upc, coupon code, voucher id, voucher code, gutschein, gutscheincode, gutschein nr, "
            "code coupon, cupon, codigo cupon, 优惠券, 券码, 优惠券编号"
        ),
        "occurred_at": f"{_MOMENT}, "
        "redemption date, redeemed at, used at, einloesedatum, eingeloest am, date utilisation, fecha canje, 核销时间, "
        "使用时间",
    },
}
"""By table and field. "price of one" and "time of day" are no fields, but go into those that are."""

PERSONAL = (
    "phone, tel, telephone, mobile, email, e mail, mail, name, first name, last name, surname, address, street, telefon, "
    "handy, nachname, vorname, strasse, adresse, telephone portable, nom, prenom, telefono, correo, nombre completo, "
    "apellido, direccion, 手机, 手机号, 电话, 姓名, 地址, 邮箱"
)
"""Columns that a draft leaves alone, and says so."""
DEFINING: Mapping[str, tuple[str, ...]] = {
    "purchases": ("occurred_at", "net", "order_id", "quantity"),
    "items": ("item_id", "category", "department", "brand", "price"),
    "members": ("member_id", "registered", "birth_month", "gender", "age_band", "marketing_consent"),
    "events": ("event_type", "occurred_at", "session_id", "event_id"),
    "exposures": ("campaign_id", "member_id", "campaign_kind", "arm", "until"),
    "redemptions": ("coupon_id", "member_id", "occurred_at"),
}
"""Fields by which a table is known."""

_MEANT = {
    "store": "filiale, laden, magasin, tienda, pos, 门店",
    "web": "online, www, internet, 网站",
    "phone": "telefon, telephone, 电话",
    "mini_program": "小程序",
    "view": "click, page_view, pageview, 浏览",
    "cart": "add_to_cart, warenkorb, panier, carrito, 加购",
    "favourite": "like, favorite, wishlist, merkliste, 收藏",
    "search": "suche, recherche, busqueda, 搜索",
    "visit": "besuch, login, visite, visita, 访问",
}
TRANSLATED: Mapping[str, str] = {word: meant for meant, words in _MEANT.items() for word in words.split(", ")}
"""Other words for channels and kinds of events."""

BUYING = (
    "purchase, purchased, buy, bought, transaction, order, ordered, sale, sold, paid, pay, payment, "
    "checkout complete, kauf, gekauft, "
    "bestellung, achat, commande, compra, pedido, 购买, 下单, 支付, 成交"
)
"""What logs of behaviour call a purchase among looks and carts."""
OPINIONS = "rating, ratings, stars, score, review score, overall, bewertung, sterne, puntuacion, valoracion, 评分, 星级"
"""Numbers that are no amounts, however much they look like some."""
